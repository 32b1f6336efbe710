// Many clients at once, each the published one, over a handful of sandboxes: every answer is right, and none is the server's fault.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Sandbox } from "@opencomputer/sdk";

const limit = { timeout: 600_000 };
const clients = 50;
const boxes = 4;

describe("many at once", limit, () => {
  let made = [];
  const bad = [];
  const plain = globalThis.fetch;
  before(async () => {
    // The client hides statuses behind errors, and retries some: they are counted below it.
    globalThis.fetch = async (...request) => {
      const answer = await plain(...request);
      if (answer.status >= 500) bad.push(`${request[1]?.method ?? "GET"} ${request[0]}: ${answer.status} ${await answer.clone().text()}`);
      return answer;
    };
    made = await Promise.all(Array.from({ length: boxes }, (_, i) => Sandbox.create({ envs: { BOX: String(i) } })));
  }, limit);
  after(async () => {
    globalThis.fetch = plain;
    await Promise.all(made.map((box) => box.kill().catch(() => {})));
  });

  it("50 clients run commands and use files", async () => {
    const started = Date.now();
    await Promise.all(Array.from({ length: clients }, async (_, i) => {
      const box = await Sandbox.connect(made[i % boxes].sandboxId);
      const folder = `/workspace/client-${i}`;
      for (let turn = 0; turn < 4; turn++) {
        const said = await box.exec.run(`echo "${i} ${turn} $BOX"; echo "e${i}" >&2; exit ${(i + turn) % 5}`);
        assert.deepEqual(said, { exitCode: (i + turn) % 5, stdout: `${i} ${turn} ${i % boxes}\n`, stderr: `e${i}\n` });
        const text = `${i}/${turn}/${"x".repeat(1000 * turn)}`;
        await box.files.write(`${folder}/${turn}.txt`, text);
        assert.equal(await box.files.read(`${folder}/${turn}.txt`), text);
      }
      assert.deepEqual((await box.files.list(folder)).map((file) => file.name).sort(), ["0.txt", "1.txt", "2.txt", "3.txt"]);
      assert.equal(await box.isRunning(), true);
    }));
    assert.deepEqual(bad, []);
    console.log(`50 clients: ${Date.now() - started} ms`);
  });

  it("25 shells answer 200 times between them and more", async () => {
    await Promise.all(Array.from({ length: 25 }, async (_, i) => {
      const shell = await made[i % boxes].exec.shell();
      for (let turn = 0; turn < 10; turn++) {
        const said = await shell.run(`echo ${i}.${turn}; (exit ${turn})`);
        assert.deepEqual(said, { exitCode: turn, stdout: `${i}.${turn}\n`, stderr: "" });
      }
      await shell.close();
    }));
    assert.deepEqual(bad, []);
  });

  it("one shell answers 200 times while others work", async () => {
    const shell = await made[0].exec.shell();
    let over = false;
    const others = Promise.all(made.map(async (box) => {
      while (!over) assert.equal((await box.exec.run("echo other")).stdout, "other\n");
    }));
    for (let i = 0; i < 200; i++) assert.deepEqual(await shell.run(`echo ${i}`), { exitCode: 0, stdout: `${i}\n`, stderr: "" });
    over = true;
    await others;
    await shell.close();
    assert.deepEqual(bad, []);
  });

  it("one sleeper is woken once, whoever calls", async () => {
    const box = made[1];
    await box.files.write("/workspace/kept", "kept");
    await box.hibernate();
    const before = await wakes();
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, (_, i) => box.exec.run(`echo ${i}`).then((said) => said.stdout === `${i}\n`)),
      ...Array.from({ length: 10 }, () => box.files.read("/workspace/kept").then((text) => text === "kept")),
      ...Array.from({ length: 5 }, () => box.files.list("/workspace").then((files) => files.some((file) => file.name === "kept"))),
      ...Array.from({ length: 5 }, () => box.exec.shell().then(async (shell) => {
        const said = await shell.run("echo shell");
        await shell.close();
        return said.stdout === "shell\n";
      })),
    ]);
    assert.ok(answers.every((right) => right), JSON.stringify(answers));
    assert.deepEqual(bad, []);
    assert.equal((await wakes()) - before, 1);
  });
});

// How many wakes the server has counted.
const wakes = async () => {
  const answer = await fetch(new URL("/metrics", process.env.OPENCOMPUTER_API_URL), { headers: { "X-API-Key": process.env.OPENCOMPUTER_API_KEY } });
  const lines = (await answer.text()).split("\n").filter((line) => line.startsWith("opensandbox_sandbox_wake_duration") && line.includes("_count"));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
};
