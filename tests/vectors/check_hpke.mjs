// Opens HS/1's session vector with an implementation that shares no code with ours: npm `@hpke/core` and
// `@hpke/hybridkem-x-wing`.
//
//     npm install @hpke/core@1.9.0 @hpke/hybridkem-x-wing@0.7.0
//     node check_hpke.mjs [FOLDER OF THE VECTORS]
//
// Node looks for packages beside the script: copy it to where they are. Exit status 0 only if plaintext and
// exports agree byte for byte.

import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";

const folder = process.argv[2] ?? path.dirname(fileURLToPath(import.meta.url));
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const hex = (buffer) => Buffer.from(buffer).toString("hex");
const base64url = (hex) => Buffer.from(hex, "hex").toString("base64url");

let checked = 0;
function check(what, ours, theirs) {
  checked += 1;
  if (ours !== theirs) {
    console.error(`${what} differs`);
    process.exit(1);
  }
}

const vector = JSON.parse(readFileSync(path.join(folder, "hs1-session.json"), "utf8"));
const { keys, init } = vector;
const suite = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
const jwk = { kty: "AKP", alg: "X-Wing", priv: base64url(keys.epoch_seed), key_ops: ["deriveBits"] };
const epochKey = await suite.kem.importKey("jwk", jwk, false);
const info = bytes(init.info);

const recipient = await suite.createRecipientContext({ recipientKey: epochKey, enc: bytes(init.enc), info });
check("the init's plaintext", hex(await recipient.open(bytes(init.ciphertext), bytes(init.aad))), init.plaintext);
for (const { context, value } of init.exports) {
  check("an export", hex(await recipient.export(bytes(context), 32)), value);
}

// A flipped bit must not open: the check above would be worth nothing otherwise.
const flipped = bytes(init.ciphertext);
flipped[0] ^= 1;
const again = await suite.createRecipientContext({ recipientKey: epochKey, enc: bytes(init.enc), info });
const refused = await again.open(flipped, bytes(init.aad)).then(() => "opened", () => "refused");
check("a flipped ciphertext", refused, "refused");

console.log(`hs1-session.json: ${checked} checks hold`);
