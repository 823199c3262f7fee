// Loads Python with our wheel, then runs what the tests ask for, one job after the other.
//
// ?mode=main: on the main thread, where urllib3 uses synchronous XMLHttpRequest.
// ?mode=worker: the same in a web worker.
// ?mode=promise: on the main thread with JavaScript Promise Integration, where urllib3 uses fetch.
import { loadPyodide } from "/pyodide/pyodide.mjs";

const mode = new URLSearchParams(self.location.search).get("mode");

async function bytes(url) {
  return (await fetch(url)).arrayBuffer();
}

async function loadPython() {
  const pyodide = await loadPyodide({ indexURL: "/pyodide/" });
  const extractDir = pyodide.runPython("import site; site.getsitepackages()[0]");
  for (const wheel of await (await fetch("/wheels")).json()) {
    pyodide.unpackArchive(await bytes(`/wheels/${wheel}`), "wheel", { extractDir });
  }
  pyodide.unpackArchive(await bytes("/tests.zip"), "zip", { extractDir: "/checkout" });
  pyodide.runPython("import sys; sys.path.insert(0, '/checkout/tests/browser')");
  return pyodide.pyimport("inside.jobs").run;
}

async function work(run) {
  for (;;) {
    const answer = await fetch("/job");
    if (answer.status !== 200) continue; // there was none for a while
    const jobs = await answer.json();
    // Several jobs are to be done at the same time.
    const reports = jobs.map((job) => (mode === "promise" ? run.callPromising(job) : run(job)));
    await fetch("/reports", { method: "POST", body: JSON.stringify(await Promise.all(reports)) });
  }
}

if (mode === "worker" && "document" in self) {
  new Worker("/page.mjs?mode=worker", { type: "module" });
} else {
  try {
    await work(await loadPython());
  } catch (error) {
    await fetch("/failed", { method: "POST", body: `${error}\n${error.stack}` });
  }
}
