// Logs in to an SMTP server with nodemailer as standard input says; fails with the refusal.
const fs = require("node:fs");
const nodemailer = require("nodemailer");

const errand = JSON.parse(fs.readFileSync(0, "utf8"));
const bearer = errand.mechanism === "XOAUTH2";
const transport = nodemailer.createTransport({
  host: "127.0.0.1", // it would ask a name server, even for localhost
  port: errand.port,
  name: "localhost",
  secure: errand.implicit,
  requireTLS: true,
  tls: { ca: fs.readFileSync(errand.cafile), servername: errand.host },
  authMethod: bearer ? undefined : errand.mechanism,
  auth: bearer
    ? { type: "OAuth2", user: errand.username, accessToken: errand.secret }
    : { user: errand.username, pass: errand.secret },
});
transport.verify().catch((error) => {
  console.log(error.message);
  process.exitCode = 1;
});
