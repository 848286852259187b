// Files in and out: images and videos added, a mask to start from, and the menu of exports.

import { paint } from "./edits.js";
import { base64, encodeRuns } from "./runs.js";
import { address, imageOf, listen, page, tell } from "./state.js";

const get = (id) => document.getElementById(id);
const KEPT = 60_000; // milliseconds that a download stays in the browser's memory
let cancelling = null; // ends the export that runs
let entered = 0; // how many elements a dragged file is over

/** The sentence in a reply of the server that refuses something. */
async function reason(reply) {
  const { text } = await reply.json().catch(() => ({}));
  return text ?? `The server answered ${reply.status}.`;
}

/** Send files to the server, and show the first that was added. */
async function upload(files) {
  if (files.length === 0) return;
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  get("upload").setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(address("upload"), { method: "POST", body: form });
    if (!reply.ok) throw new Error(await reason(reply));
    const answer = await reply.json();
    for (const { name, text } of answer.refused ?? []) tell("notice", { text: `${name}: ${text}`, error: true });
    if (answer.added?.length) tell("added", answer.added);
  } catch (error) {
    tell("notice", { text: `The files were not added: ${error.message}`, error: true });
  }
  get("upload").removeAttribute("aria-busy");
}

/** Start from a mask image: what is not black in it gets the chosen label. */
async function startFrom(file) {
  const image = imageOf(page.image);
  if (!file || !image) return;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "none" });
  } catch {
    tell("notice", { text: `${file.name} is not an image that this browser can read; choose a PNG.`, error: true });
    return;
  }
  const { height, width } = bitmap;
  if (height !== image.height || width !== image.width) {
    const sizes = `The mask is ${width} × ${height} pixels, but the image is ${image.width} × ${image.height}`;
    tell("notice", { text: `${sizes}; choose a mask of the same size.`, error: true });
    return;
  }
  const on = nonzero(bitmap);
  if (on.includes(1)) paint(base64(encodeRuns(on)));
  else tell("notice", { text: `${file.name} is black everywhere; nothing was marked.`, error: true });
}

/** 1 for each pixel that is neither black nor transparent. */
function nonzero(bitmap) {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return Uint8Array.from({ length: data.length / 4 }, (_, at) => {
    const from = 4 * at;
    return data[from + 3] && (data[from] || data[from + 1] || data[from + 2]) ? 1 : 0;
  });
}

/** The name that a reply gives to its file; one that is not plain ASCII is percent-encoded. */
function nameIn(reply) {
  const said = reply.headers.get("content-disposition") ?? "";
  const [, plain, coded] = /filename(?:="([^"]+)"|\*=utf-8''(.+))/.exec(said) ?? [];
  return plain ?? (coded && decodeURIComponent(coded));
}

/** Save an export as a file, or say why there is none. */
async function download(from, format) {
  cancelling = new AbortController();
  running(true);
  exported({ done: 0 });
  try {
    const reply = await fetch(from, { signal: cancelling.signal });
    if (!reply.ok) throw new Error(await reason(reply));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await reply.blob());
    link.download = nameIn(reply) ?? format;
    link.click();
    setTimeout(URL.revokeObjectURL, KEPT, link.href);
  } catch (error) {
    const cancelled = error.name === "AbortError";
    const text = cancelled ? "The export was cancelled." : `Nothing was exported: ${error.message}`;
    tell("notice", { text, error: !cancelled });
  }
  running(false);
  get("export").removeAttribute("open");
}

/** Show the progress of an export in place of the formats, or the formats again. */
function running(on) {
  if (on) get("export").setAttribute("aria-busy", "true");
  else get("export").removeAttribute("aria-busy");
  for (const id of ["export-choices", "export-formats"]) get(id).hidden = on;
  get("export-progress").hidden = !on;
}

/** Show how far an export is; `of` is not known for videos. */
function exported({ done, of }) {
  const what = of ? `image ${done} of ${of}` : `frame ${done}`;
  get("export-text").textContent = done ? `Exporting: ${what}` : "Exporting";
  const bar = get("export-bar");
  if (of) [bar.max, bar.value] = [of, done];
  else bar.removeAttribute("value");
}

/** The address of an export with what is chosen. */
function exportOf(format) {
  return address("export", {
    format,
    annotated: get("export-annotated").checked,
    refined: get("export-refined").checked,
  });
}

function exports() {
  const links = page.formats.map(({ name, about }) => {
    const link = document.createElement("a");
    const title = document.createElement("strong");
    const words = document.createElement("span");
    link.href = exportOf(name);
    link.setAttribute("download", "");
    link.setAttribute("role", "menuitem");
    link.dataset.testid = `export-${name}`;
    title.textContent = name;
    words.textContent = about;
    link.append(title, words);
    link.onclick = (event) => {
      event.preventDefault();
      download(exportOf(name), name);
    };
    return link;
  });
  get("export-formats").replaceChildren(...links);
  get("export").hidden = links.length === 0;
}

function dragged(event, by) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  entered = Math.max(entered + by, 0);
  get("drop").hidden = entered === 0;
}

addEventListener("dragenter", (event) => dragged(event, 1));
addEventListener("dragleave", (event) => dragged(event, -1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  entered = 0;
  get("drop").hidden = true;
  upload([...(event.dataTransfer?.files ?? [])]);
});
addEventListener("pointerdown", ({ target }) => {
  if (!get("export").contains(target)) get("export").removeAttribute("open");
});
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") get("export").removeAttribute("open");
});

/** A button opens a file input, and `use` gets the files chosen. */
function picker(button, input, use) {
  get(button).onclick = () => get(input).click();
  get(input).onchange = ({ target }) => {
    use([...target.files]);
    target.value = "";
  };
}
get("export-cancel").onclick = () => cancelling?.abort();
for (const id of ["export-annotated", "export-refined"]) get(id).onchange = exports;
picker("upload", "upload-files", upload);
picker("mask", "mask-file", ([file]) => startFrom(file));
listen("state", exports);
listen("message", (message) => {
  if (message.type === "export") exported(message);
});
