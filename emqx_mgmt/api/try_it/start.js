// Addresses are relative to the page's, so that it works below any path of a proxy.
// The browser has logged in to see this page, and sends the same credentials with what is tried on it.
SwaggerUIBundle({
  url: new URL("api-spec.json" + location.search, location.href).href,
  dom_id: "#api",
  deepLinking: true,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
