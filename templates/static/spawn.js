// Lets the button say what it starts, and keeps it from being pressed twice.

const form = document.getElementById("spawn_form");
const button = form.querySelector("button[type=submit]");

function name() {
  const chosen = [...form.querySelectorAll("input[type=radio]:checked")].map((input) => input.dataset.brief);
  if (chosen.length) button.textContent = button.dataset.what.replace("{}", () => chosen.join(", "));
}

form.addEventListener("change", name);
form.addEventListener("submit", () => setTimeout(() => (button.disabled = true)));
// A page that comes back from the history is to be used again.
addEventListener("pageshow", () => (button.disabled = false));
name();
