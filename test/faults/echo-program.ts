// The program behind echo.ts: `bun echo-program.ts HOST PORT` sends back what it receives.
import { createServer } from "node:net";

const [host, port] = process.argv.slice(2);
// node:net, whose pipe() waits for who reads slowly.
const server = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});
server.listen(Number(port), host, () => process.stdout.write("ready\n"));
