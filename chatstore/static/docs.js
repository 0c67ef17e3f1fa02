// Starts Swagger UI on the element that names the API document.
const place = document.getElementById("docs");
SwaggerUIBundle({
  domNode: place,
  url: place.dataset.url,
  deepLinking: true,
  validatorUrl: null,
});
