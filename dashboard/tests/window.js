// What the modules touch of a window while they are loaded; nothing of it does anything.
const nothing = () => {};
globalThis.document = Object.assign(new EventTarget(), {
  hidden: false, baseURI: "http://broker/", documentElement: { style: {}, classList: { toggle: nothing } } });
globalThis.location = { hash: "#/clients?page=2&node=a%40b" };
globalThis.history = { pushState: (_state, _title, url) => (location.hash = url), replaceState: (_state, _title, url) => (location.hash = url) };
globalThis.matchMedia = () => ({ matches: false, addEventListener: nothing });
globalThis.addEventListener = nothing;
const every = globalThis.setInterval;
// A clock that does not keep the process.
globalThis.setInterval = (...given) => every(...given).unref();
