// The pages in a real browser, from the first link to the last invoice. Started by
// tests/it/browser.rs, which keeps events flowing meanwhile; a line for each step, and the first
// failure ends it.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import assert from "node:assert/strict";

const modules = createRequire(join(required("ODOMETER_BROWSER_MODULES"), "story.cjs"));
const { chromium } = modules("playwright-core");
const axeSource = readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");

const base = required("STORY_URL");
const token = required("STORY_TOKEN");
const folder = required("STORY_FOLDER");
const acme = "acme";
const page = `/organizations/${acme}/billing`;
const PATIENCE = 60_000;
const DAY = 86_400_000;
const MOST_BYTES = 100_000;
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

function required(name) {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: this is started by tests/it/browser.rs`);
  return value;
}

// --- The API, as the operator or with a key -----------------------------------

async function api(method, path, body, bearer = token) {
  const answer = await fetch(base + path, {
    method,
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

const of = (rest, organization = acme) => `/v1/organizations/${organization}${rest}`;

async function until(what, ask) {
  const deadline = Date.now() + PATIENCE;
  for (let last; ; ) {
    try {
      const answer = await ask();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    assert.ok(Date.now() < deadline, `wait for ${what}: not within ${PATIENCE / 1000} s; ${last ?? ""}`);
    await new Promise((go) => setTimeout(go, 200));
  }
}

async function setClock(time) {
  await api("PUT", "/v1/test-clock", { now: new Date(time).toISOString() });
}

const now = async () => Date.parse((await api("GET", "/v1/test-clock")).now);

async function signUp(id, name) {
  await api("POST", "/v1/organizations", { id, name, email: `billing@${id}.example`, region: "us" });
}

const keyOf = async (role) => (await api("POST", of("/api-keys"), { role, name: "story" })).key;
const link = async (bearer = token, organization = acme) =>
  (await api("POST", of("/portal-sessions", organization), null, bearer)).url;

// --- The browser ----------------------------------------------------------------

const executablePath = process.env.ODOMETER_CHROMIUM || "/usr/bin/chromium";
// The tests run as root in places, where Chromium's sandbox can't start.
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function open({ viewport = DESKTOP, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport, colorScheme });
  const tab = await context.newPage();
  // What the policy blocks, and what a script throws, is told here. A status of 4xx is told too.
  tab.complaints = [];
  tab.on("console", (message) => {
    const isStatus = message.text().includes("the server responded with a status of 4");
    if (message.type() === "error" && !isStatus) tab.complaints.push(message.text());
  });
  tab.on("pageerror", (error) => tab.complaints.push(String(error)));
  return tab;
}

async function signIn(url, look) {
  const tab = await open(look);
  await tab.goto(url);
  assert.ok(!tab.url().includes("session="), `the link's token stays in the address: ${tab.url()}`);
  return tab;
}

// No violation, nothing blocked, and nothing wider than the screen.
async function isSound(tab, what) {
  await tab.evaluate(axeSource);
  const { violations } = await tab.evaluate((values) => axe.run(document, { runOnly: values }), RULES);
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((n) => n.html).join(" ")}`);
  assert.deepEqual(told, [], `${what}: axe`);
  const wider = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wider <= 0, `${what}: ${wider} px wider than the screen`);
  assert.deepEqual(tab.complaints, [], `${what}: the console`);
  await tab.screenshot({ path: join(folder, `${what.replaceAll(/\W+/g, "-")}.png`), fullPage: true });
}

// What has the focus, and shows that it has.
async function focused(tab) {
  const [text, isSeen] = await tab.evaluate(() => {
    const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);
    return [document.activeElement.textContent.trim(), outlineStyle !== "none" || boxShadow !== "none"];
  });
  assert.ok(isSeen, `nobody sees that "${text}" has the focus`);
  return text;
}

async function tabTo(tab, isThere, what) {
  for (let presses = 0; presses < 60; presses++) {
    await tab.keyboard.press("Tab");
    if (await isThere()) return;
  }
  assert.fail(`Tab does not reach ${what}`);
}

const texts = async (tab) => tab.locator("main").innerText();

// A page that was just asked for arrives in parts.
async function shows(tab, ...words) {
  await until(`a page that shows ${words}`, async () => {
    const all = await texts(tab);
    for (const word of words) assert.ok(all.includes(word), `${word} is not on the page:\n${all}`);
    return true;
  });
}

const calls = async (tab) => Number(await tab.locator("#figures data").first().getAttribute("value"));

async function step(what, act) {
  await act();
  console.log(`ok ${what}`);
}

// --- The story --------------------------------------------------------------------

await setClock(Math.floor(Date.now() / 1000) * 1000);
await signUp(acme, "Acme Robotics");
await signUp("other", "Somebody Else");
const started = await now();

await step("without a session the page says how to sign in", async () => {
  const tab = await open();
  const answer = await tab.goto(base + page);
  assert.equal(answer.status(), 401);
  await shows(tab, "Sign in to see this page");
  await isSound(tab, "signed out");
});

let tab;
await step("a portal link signs in, and a trial is shown", async () => {
  await until("services", async () => (await api("GET", of("/usage"))).usage.services === 3);
  tab = await signIn(await link(await keyOf("admin")));
  await shows(tab, "Plus", "Trial", "30 days left", "No charge", "As of", "complete through");
  await isSound(tab, "trial");
});

await step("it is small, and answers at once", async () => {
  const cold = await open();
  let bytes = 0;
  const client = await cold.context().newCDPSession(cold);
  await client.send("Network.enable");
  client.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
  await cold.goto(await link());
  await cold.waitForLoadState("load");
  await cold.evaluate(() => document.fonts.ready);
  assert.ok(bytes > 10_000 && bytes < MOST_BYTES, `${bytes} bytes came over the wire`);
  console.log(`   ${bytes} bytes`);
});

await step("phone and desktop, dark and light", async () => {
  for (const viewport of [PHONE, DESKTOP]) {
    for (const colorScheme of ["light", "dark"]) {
      const other = await signIn(await link(), { viewport, colorScheme });
      await other.locator("summary", { hasText: "Show as a table" }).click();
      await isSound(other, `page ${viewport.width} ${colorScheme}`);
      await other.context().close();
    }
  }
});

await step("the counter moves while events arrive", async () => {
  const before = await calls(tab);
  await until("the counter to move", async () => (await calls(tab)) > before);
  await tab.locator("[data-state=live]").waitFor();
});

await step("with the keyboard alone the plan is changed, step by step", async () => {
  await signUp("keys", "Keyboard Works");
  const keys = await signIn(await link(token, "keys"));
  await keys.keyboard.press("Tab");
  assert.equal(await focused(keys), "Skip to the content");
  await keys.keyboard.press("Enter");
  await keys.keyboard.press("Tab");
  assert.equal(await focused(keys), "Continue on Plus", "what is skipped to begins with what is to be done");
  await keys.keyboard.press("Enter");
  await keys.waitForURL(/\/plan\/plus$/);
  await shows(keys, "First, a payment method");
  // The arrows choose among the test cards.
  const card = keys.getByLabel("4242");
  await tabTo(keys, async () => keys.evaluate(() => document.activeElement.type === "radio"), "the cards");
  for (let presses = 0; !(await card.isChecked()); presses++) {
    assert.ok(presses < 10, "the arrows do not reach the card 4242");
    await keys.keyboard.press("ArrowDown");
  }
  await tabTo(keys, async () => (await focused(keys)) === "Set up payment method", "the button that sets it up");
  await keys.keyboard.press("Enter");
  await keys.getByRole("button", { name: "Continue on Plus" }).waitFor();
  await tabTo(keys, async () => (await focused(keys)) === "Continue on Plus", "the button that confirms");
  await keys.keyboard.press("Enter");
  await shows(keys, "You are set for Plus.");
  assert.equal((await api("GET", of("", "keys"))).trial.then, "plus");
  const { data } = await api("GET", of("/payment-methods", "keys"));
  assert.deepEqual(data.map(({ last4 }) => last4), ["4242"]);
  await keys.context().close();
});

await step("an upgrade asks for a payment method, tells what it will cost, and is done", async () => {
  await tab.goto(base + page);
  await tab.getByRole("link", { name: "Continue on Plus" }).click();
  await shows(tab, "$105.00 per service and month", "A whole month like this one", "First, a payment method");
  await isSound(tab, "upgrade without a payment method");
  // This one is declined when it is charged.
  await tab.getByLabel("0002").check();
  await tab.getByRole("button", { name: "Set up payment method" }).click();
  await tab.getByRole("button", { name: "Continue on Plus" }).waitFor();
  await isSound(tab, "upgrade");
  await tab.getByRole("button", { name: "Continue on Plus" }).click();
  await shows(tab, "You are set for Plus.", "Plus goes on after it.", "0002");
  assert.equal((await api("GET", of(""))).trial.then, "plus");
});

await step("a viewer sees and can't act", async () => {
  const viewer = await signIn(await link(await keyOf("viewer")));
  await shows(viewer, "Plus", "API calls this month");
  assert.equal(await viewer.getByText("View only").count(), 1);
  assert.equal(await viewer.locator("main form, main a.button").count(), 0);
  const refused = await viewer.evaluate(async (place) => {
    const form_token = document.querySelector("[name=form_token]").value;
    const body = new URLSearchParams({ form_token, plan: "free" });
    return (await fetch(`${place}/plan`, { method: "POST", body, redirect: "manual" })).status;
  }, page);
  assert.equal(refused, 403);
  await isSound(viewer, "viewer");
});

await step("another organization's page is not there", async () => {
  const answer = await tab.goto(`${base}/organizations/other/billing`);
  assert.equal(answer.status(), 404);
  await isSound(tab, "not found");
});

await step("the operator sees who uses what, and whether everything is counted", async () => {
  const operator = await open();
  await operator.goto(`${base}/operator`);
  await isSound(operator, "operator signed out");
  await operator.getByLabel("The operator's token").fill(token);
  await operator.getByRole("button", { name: "Sign in" }).click();
  await shows(operator, "Acme Robotics", "Trial", "Complete through", "events[0]", "Nobody waits for sales");
  await isSound(operator, "operator");
  await operator.getByRole("link", { name: "Acme Robotics" }).click();
  await shows(operator, "Billing & usage");
});

// The first instant of the month after the one that a time belongs to.
const nextMonth = (time) => {
  const at = new Date(time);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1);
};

let invoice;
await step("a month on Plus ends with an invoice, as a page and as a PDF of the same digits", async () => {
  await setClock(started + 30 * DAY);
  await setClock(nextMonth(started + 30 * DAY) + 3_600_000);
  invoice = await until("an invoice", async () => {
    const { data } = await api("GET", of("/invoices"));
    return data.find((found) => found.number && found.state === "open" && Number(found.total) > 0);
  });
  tab = await signIn(await link(await keyOf("admin")));
  await shows(tab, invoice.number, "Open", "due");
  await isSound(tab, "open invoice");
  const phone = await signIn(await link(), { viewport: PHONE });
  await shows(phone, invoice.number);
  await isSound(phone, "open invoice on a phone");
  const bytes = await tab.evaluate(async (place) => {
    const answer = await fetch(place);
    const type = answer.headers.get("content-type");
    return { type, bytes: Array.from(new Uint8Array(await answer.arrayBuffer())) };
  }, await tab.getByRole("link", { name: "as a PDF" }).first().getAttribute("href"));
  assert.equal(bytes.type, "application/pdf");
  const file = join(folder, "invoice.pdf");
  writeFileSync(file, Buffer.from(bytes.bytes));
  const text = execFileSync("pdftotext", ["-layout", file, "-"], { encoding: "utf8" });
  const digits = [invoice.number, invoice.total, invoice.amount_due, invoice.month, invoice.digest].concat(
    invoice.lines.flatMap((line) => [String(line.quantity), line.unit_price, line.amount]),
  );
  for (const one of digits) assert.ok(text.includes(one), `the PDF lacks ${one}:\n${text}`);
});

await step("it is paid with another payment method", async () => {
  await tab.locator("summary", { hasText: "Set up a payment method" }).click();
  await tab.getByLabel("4242").check();
  await tab.getByRole("button", { name: "Set up payment method" }).click();
  await tab.getByRole("button", { name: "Make default: visa ending in 4242" }).click();
  await shows(tab, "The default payment method has changed.");
  await tab.getByRole("button", { name: `Pay invoice ${invoice.number}` }).click();
  await shows(tab, "The invoice is paid.", "Paid");
  assert.equal((await api("GET", of(`/invoices/${invoice.number}`))).state, "paid");
  await isSound(tab, "paid invoice");
});

await step("cancelling tells what is still charged, and is Free at once", async () => {
  await tab.getByRole("link", { name: "Cancel plan" }).click();
  await shows(tab, "for what was used on Plus until now", "From then on");
  await isSound(tab, "cancel");
  await tab.getByRole("button", { name: "Cancel plan" }).click();
  await shows(tab, "You are on Free now.", "Free");
  assert.equal((await api("GET", of(""))).plan, "free");
});

await step("Enterprise has sales in place of self-service", async () => {
  await api("PUT", of("/plan"), { plan: "enterprise" });
  await tab.goto(base + page);
  await shows(tab, "Enterprise", "By agreement", "Contact sales");
  assert.equal(await tab.getByText("Payment methods").count(), 0);
  await tab.getByLabel("What do you need?").fill("A region in Europe");
  await tab.getByRole("button", { name: "Send to sales" }).click();
  await shows(tab, "Sales will be in touch.");
  const { data } = await api("GET", "/v1/sales-requests");
  assert.equal(data.at(-1).data.message, "A region in Europe");
  await isSound(tab, "enterprise");
});

await step("signing out ends the session", async () => {
  await tab.getByRole("button", { name: "Sign out" }).click();
  await shows(tab, "Sign in to see this page");
});

await browser.close();
console.log("the story is over");
