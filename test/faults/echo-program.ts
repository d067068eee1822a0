// The echo server that echo.ts runs: `bun echo-program.ts HOST PORT`.
import { createServer } from "node:net";

const [host, port] = process.argv.slice(2);
// node:net, because its pipe() applies backpressure.
const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});
server.listen(Number(port), host, () => process.stdout.write("ready\n"));
