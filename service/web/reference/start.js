// The document names an example server. Requests from this page go to the server that it is from.
fetch("openapi.json")
  .then((answer) => answer.json())
  .then((spec) => {
    const server = new URL(".", window.location.href).href.replace(/\/$/, "");
    window.ui = SwaggerUIBundle({
      spec: { ...spec, servers: [{ url: server }] },
      dom_id: "#reference",
      deepLinking: true,
      docExpansion: "none",
      defaultModelsExpandDepth: -1,
      persistAuthorization: false,
      validatorUrl: null,
    });
  });
