// What the servers on Node share: the counting, the life of the process. loopback.py tells the
// protocol that they keep to.

import { once } from 'node:events';

const answers = {};

// Before it is sent, so that whoever has an answer finds it counted.
export function countAnswer(method, path, response) {
  const { writeHead } = response;
  response.writeHead = (status, ...rest) => {
    const answer = `${method} ${path} ${status}`;
    answers[answer] = (answers[answer] ?? 0) + 1;
    return writeHead.call(response, status, ...rest);
  };
}

export function tellAnswers(response) {
  response.end(JSON.stringify(answers));
}

export async function listen(server, scheme) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `${scheme}://127.0.0.1:${server.address().port}`;
}

// Say where the server is, and end when standard input does.
export async function run(where) {
  console.log(JSON.stringify(where));
  process.stdin.resume();
  await once(process.stdin, 'end');
  process.exit();
}
