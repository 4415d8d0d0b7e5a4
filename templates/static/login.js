// Shows and hides passwords, compares a new one with its repetition, warns of connections without encryption.

if (!window.isSecureContext) document.getElementById("insecure-login-warning")?.removeAttribute("hidden");

const toggle = document.getElementById("toggle_password_visibility");
toggle?.addEventListener("click", () => {
  const shown = toggle.getAttribute("aria-pressed") !== "true";
  for (const id of toggle.dataset.reveal.split(" ")) document.getElementById(id).type = shown ? "text" : "password";
  toggle.setAttribute("aria-pressed", String(shown));
});

const form = document.getElementById("new_password_form");
form?.addEventListener("input", () => {
  const { password, password_confirm: again } = form.elements;
  again.setCustomValidity(again.value && again.value !== password.value ? form.dataset.differ : "");
});
