// Lets the button say what it starts, shows what belongs to what is chosen, and keeps the button from being pressed twice.
import { problem } from "./image.js";

const form = document.getElementById("spawn_form");
const button = form?.querySelector("button[type=submit]");

const chosen = (input) => (input.type === "radio" ? input.checked : input.selected);
const answers = () => [...form.querySelectorAll("input[type=radio], option")];

// Fields of one's own belong to an answer, questions of a profile to the profile. What is not shown is not sent.
function show() {
  for (const section of form.querySelectorAll("section[data-name]")) {
    const { name, value } = section.dataset;
    const here = [...form.elements].some((input) => input.name === name && input.checked && input.value === value);
    section.hidden = !here;
    section.querySelectorAll("[data-unscripted]").forEach((told) => (told.hidden = true));
    section.querySelectorAll("input, select").forEach((input) => (input.disabled = !here));
  }
  for (const answer of answers().filter((answer) => answer.dataset.opens)) {
    const field = form.elements[answer.dataset.opens];
    if (!field) continue;
    const here = chosen(answer) && !answer.closest("section, details")?.hidden;
    field.closest(".field").hidden = !here;
    field.disabled = !here;
    field.required = here;
  }
}

function name() {
  const said = answers()
    .filter((answer) => chosen(answer) && !answer.closest("section, details")?.hidden)
    .map((answer) => form.elements[answer.dataset.opens]?.value || answer.dataset.brief)
    .filter(Boolean);
  const what = button.dataset.what;
  button.textContent = said.length ? what.replace("{}", () => said.join(", ")) : button.dataset.plain;
}

function update() {
  show();
  name();
}

// An image of one's own is checked while it is typed: what is wrong is told when the fingers rest, what is right at once.
function check(input) {
  const told = document.getElementById(`${input.id}-told`);
  const rule = JSON.parse(input.dataset.image);
  let rests;
  const tell = (wrong) => {
    told.textContent = input.value.trim() ? (wrong ?? told.dataset.good) : "";
    told.classList.toggle("refused", Boolean(wrong));
    if (wrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => {
    clearTimeout(rests);
    const wrong = input.value.trim() ? problem(input.value, rule) : null;
    rests = setTimeout(() => tell(wrong), wrong ? 500 : 0);
  });
}

// What was refused is brought into view, and the focus to it.
function meet() {
  const refused = form.querySelector(".refused")?.closest("fieldset, .field");
  refused?.querySelector("input:checked, input:not([type=hidden]):not(:disabled), select, textarea")?.focus();
}

if (form) {
  form.addEventListener("change", update);
  form.addEventListener("input", name);
  form.querySelectorAll("input[data-image]").forEach(check);
  form.addEventListener("submit", () => setTimeout(() => (button.disabled = true)));
  // A page that comes back from the history is to be used again.
  addEventListener("pageshow", () => {
    button.disabled = false;
    update();
  });
  update();
  meet();
}
