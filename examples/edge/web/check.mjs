// Drops images on the page in headless Chromium and prints what it says, one
// line of JSON each: npm run check -- IMAGE...
import { existsSync, readFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';
import { serve } from './serve.mjs';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'chrome'];
const browser = process.env.CHROMIUM ?? process.env.PATH
  .split(delimiter)
  .flatMap((folder) => names.map((name) => join(folder, name)))
  .find((file) => existsSync(file));
if (!browser) {
  console.error('error: expected Chromium on the PATH or as CHROMIUM, got none');
  process.exit(2);
}

const server = await serve();
const launched = await chromium.launch({ executablePath: browser, args: ['--no-sandbox'] });
try {
  const page = await launched.newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  await page.goto(`http://localhost:${server.address().port}/`);
  await page.getByText('Ready.').waitFor();
  for (const path of process.argv.slice(2)) {
    const bytes = readFileSync(path).toString('base64');
    const transfer = await page.evaluateHandle(async ([name, content]) => {
      const blob = await (await fetch(`data:;base64,${content}`)).blob();
      const dropped = new DataTransfer();
      dropped.items.add(new File([blob], name));
      return dropped;
    }, [basename(path), bytes]);
    await page.evaluate(() => { document.getElementById('status').textContent = ''; });
    await page.dispatchEvent('#drop', 'drop', { dataTransfer: transfer });
    await page.waitForFunction(() => document.getElementById('status').textContent);
    const status = await page.locator('#status').textContent();
    const rows = await page.locator('#answers li').evaluateAll((items) => items.map(
      (item) => [...item.children].map((part) => part.textContent)));
    console.log(JSON.stringify({ image: path, answers: Object.fromEntries(rows), status }));
  }
  if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
} finally {
  await launched.close();
  server.close();
}
