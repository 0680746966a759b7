"use strict";

window.addEventListener("load", () => {
  // Swagger UI has a dark mode, but only its top bar switches it on.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", paint);
  paint();

  window.ui = SwaggerUIBundle({
    "url": "/openapi.json",
    "dom_id": "#swagger-ui",
    "deepLinking": true,
    // Without the top bar, and so without its box for the URL of another document.
    "layout": "BaseLayout",
    "persistAuthorization": true,
    "presets": [SwaggerUIBundle.presets.apis],
    // No document is sent to a validator on the internet.
    "validatorUrl": "none",
  });
});
