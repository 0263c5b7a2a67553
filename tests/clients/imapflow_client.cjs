// Logs in to an IMAP server with imapflow as standard input says; fails with the refusal.
const fs = require("node:fs");
const { ImapFlow } = require("imapflow");

const errand = JSON.parse(fs.readFileSync(0, "utf8"));
const bearer = errand.mechanism.includes("OAUTH");
const client = new ImapFlow({
  host: "127.0.0.1",
  servername: errand.host,
  port: errand.port,
  secure: errand.implicit,
  doSTARTTLS: errand.implicit ? undefined : true,
  tls: { ca: fs.readFileSync(errand.cafile), servername: errand.host },
  auth: bearer
    ? { user: errand.username, accessToken: errand.secret }
    : { user: errand.username, pass: errand.secret, loginMethod: `AUTH=${errand.mechanism}` },
  logger: false,
});
client
  .connect()
  .then(() => client.logout())
  .catch((error) => {
    console.log(error.responseText || error.message);
    process.exitCode = 1;
    client.close();
  });
