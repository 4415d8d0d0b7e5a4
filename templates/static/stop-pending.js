// Looks every two seconds whether the server has stopped.
import { look, page } from "./hub.js";

async function wait() {
  const seen = await look();
  if (seen && (seen.fresh.body.dataset.page !== page.page || seen.url !== location.href)) location.reload();
  else setTimeout(wait, 2000);
}

setTimeout(wait, 2000);
