// Classifies an image in the browser; nothing leaves the page.
import * as ort from './ort.mjs';

const SHOWN = 5;
// Of a photo's longer side, in pixels: the student sees far fewer.
const LONGEST = 1024;

// More threads need headers that plain servers of files do not send.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL('ort.wasm', import.meta.url).href };

const element = (id) => document.getElementById(id);
const status = (text) => { element('status').textContent = text; };

async function load() {
  const { classes } = await (await fetch('metadata.json')).json();
  const session = await ort.InferenceSession.create('student.onnx');
  return { classes, session };
}

// (1, H, W, 3) uint8, RGB, as the file that --fold writes takes it.
async function pixels(file) {
  const options = { colorSpaceConversion: 'none' };
  const image = await createImageBitmap(file, options);
  const scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
  const width = Math.max(1, Math.round(image.width * scale));
  const height = Math.max(1, Math.round(image.height * scale));
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return new ort.Tensor('uint8', rgb, [1, height, width, 3]);
}

function show(classes, probabilities, milliseconds) {
  if (classes.length !== probabilities.length) {
    throw new Error(`metadata.json: expected ${probabilities.length} classes, got ${classes.length}`);
  }
  const ranked = classes
    .map((name, index) => ({ name, share: probabilities[index] }))
    .sort((a, b) => b.share - a.share)
    .slice(0, SHOWN);
  element('answers').replaceChildren(...ranked.map(({ name, share }) => {
    const percent = `${(100 * share).toFixed(1)} %`;
    const item = document.createElement('li');
    item.style.setProperty('--share', `${100 * share}%`);
    for (const text of [name, percent]) {
      item.append(Object.assign(document.createElement('span'), { textContent: text }));
    }
    return item;
  }));
  status(`${milliseconds.toFixed(0)} ms`);
}

// Of two images dropped in haste the last is answered.
let drops = 0;

async function classify({ classes, session }, file) {
  drops += 1;
  const mine = drops;
  element('answers').replaceChildren();
  try {
    const image = await pixels(file);
    if (mine !== drops) return;
    URL.revokeObjectURL(element('preview').src);
    element('preview').src = URL.createObjectURL(file);
    element('preview').hidden = false;
    element('hint').hidden = true;
    const start = performance.now();
    const feeds = { [session.inputNames[0]]: image };
    const { probabilities } = await session.run(feeds);
    if (mine !== drops) return;
    show(classes, probabilities.data, performance.now() - start);
  } catch (error) {
    if (mine === drops) status(`${file.name}: ${error.message}`);
  }
}

const student = await load().catch((error) => {
  status(`The student cannot be loaded: ${error.message}`);
  throw error;
});
const drop = element('drop');
const over = (is) => (event) => {
  event.preventDefault();
  drop.classList.toggle('over', is);
};
drop.addEventListener('dragover', over(true));
drop.addEventListener('dragleave', over(false));
drop.addEventListener('drop', (event) => {
  over(false)(event);
  const [file] = event.dataTransfer.files;
  if (file) classify(student, file);
});
element('file').addEventListener('change', ({ target }) => {
  const [file] = target.files;
  if (file) classify(student, file);
});
status('Ready.');
