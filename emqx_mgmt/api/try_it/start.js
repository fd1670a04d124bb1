// The browser has logged in to see this page, and sends the same credentials with what is tried on it.
SwaggerUIBundle({
  url: location.origin + "/api-spec.json" + location.search,
  dom_id: "#api",
  deepLinking: true,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
