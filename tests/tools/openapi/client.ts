// A client whose types come from the OpenAPI document: node client.js ADDRESS PHOTO
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [address, photo] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: address });

async function reconstruct(threshold: number) {
  return await client.POST("/v1/reconstruct", {
    params: { query: { threshold, include: ["depth"] } },
    body: readFileSync(photo) as unknown as string, // OpenAPI calls bytes a string of format binary
    bodySerializer: (bytes) => bytes as unknown as BodyInit,
    headers: { "Content-Type": "application/octet-stream" },
  });
}

const { data } = await reconstruct(0.5);
const { people, depth } = data as components["schemas"]["ReconstructReply"]; // other formats are strings
console.log(`${people.length} people, the nearest at ${people[0].translation[2].toFixed(1)} m, ${depth!.width} columns`);

const { error } = await reconstruct(7);
const problem: components["schemas"]["Problem"] = error!;
console.log(`${problem.status} ${problem.errors![0].field}`);
