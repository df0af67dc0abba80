// Puts all that the page needs into dist/: npm run build -- EXPORTED_FOLDER
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const runtime = join(here, 'node_modules', 'onnxruntime-web', 'dist');
// The smaller one first. Both take pixels.
const models = ['student_int8_uint8.onnx', 'student_uint8.onnx'];

function fail(sentence) {
  console.error(`error: ${sentence}`);
  process.exit(2);
}

const exported = process.argv[2];
if (!exported) fail('expected the folder of an exported student, got none');
const model = models
  .map((name) => join(exported, name))
  .find((file) => existsSync(file));
if (!model) fail(`${exported}: expected ${models.join(' or ')}, got neither`);
if (!existsSync(runtime)) fail('expected onnxruntime-web, got none; npm install');

const dist = join(here, 'dist');
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
for (const [from, name] of [
  [join(here, 'index.html'), 'index.html'],
  [join(here, 'classify.js'), 'classify.js'],
  [join(runtime, 'ort.wasm.bundle.min.mjs'), 'ort.mjs'],
  [join(runtime, 'ort-wasm-simd-threaded.wasm'), 'ort.wasm'],
  [model, 'student.onnx'],
  [join(exported, 'metadata.json'), 'metadata.json'],
]) {
  copyFileSync(from, join(dist, name));
}
console.log(`dist/ has the page with ${model}`);
