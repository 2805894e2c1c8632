// Requests to the service. All addresses are relative, so that the page works behind a path prefix.

export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const MEGABYTE = 1e6;
const HEIC = /\.(heic|heif)$/i;
const IPHONE =
  " iPhones can save JPEG instead: Settings, Camera, Formats, Most Compatible. Sending the photo by mail converts it, too.";

export async function limits() {
  const response = await fetch("static/limits.json");
  return response.json();
}

export async function faces() {
  const response = await fetch("v1/body?include=faces", { headers: headers() });
  if (!response.ok) throw await problem(response, null);
  return (await response.json()).faces;
}

let apiKey = "";

export function useKey(key) {
  apiKey = key;
}

function headers(more = {}) {
  return apiKey ? { "X-API-Key": apiKey, ...more } : more;
}

// The reply to one photo in the format that `accept` names.
export async function reconstruct(photo, accept, options) {
  const query = new URLSearchParams(options);
  const type = photo.blob.type || "application/octet-stream";
  let response;
  try {
    response = await fetch(`v1/reconstruct?${query}`, {
      method: "POST",
      headers: headers({ Accept: accept, "Content-Type": type }),
      body: photo.blob,
    });
  } catch {
    throw new Problem("The service cannot be reached. Is it still running?");
  }
  if (!response.ok) throw await problem(response, photo);
  return response;
}

// What is wrong with a photo before it is sent; an empty text if nothing is.
export function refusal(photo, known) {
  if (photo.blob.size === 0) return "This file is empty.";
  if (photo.blob.size > known.max_body_bytes)
    return `This photo has ${megabytes(photo.blob.size)}; at most ${megabytes(known.max_body_bytes)} can be sent.`;
  return "";
}

function megabytes(bytes) {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`;
}

async function problem(response, photo) {
  const { detail = response.statusText } = await response.json().catch(() => ({}));
  return new Problem(sentence(response, detail, photo), response.status);
}

function sentence(response, detail, photo) {
  const wait = response.headers.get("Retry-After");
  switch (response.status) {
    case 401:
      return "This service asks for an API key.";
    case 413:
      return `This photo is too large: ${detail}.`;
    case 415:
      return `This is no photo that can be read here; JPEG, PNG and WebP work.${HEIC.test(photo?.name ?? "") ? IPHONE : ""}`;
    case 422:
      return `This photo cannot be used: ${detail}.`;
    case 429:
    case 503:
      return `The service is busy. Try again${wait ? ` in ${wait} seconds` : " in a moment"}.`;
    case 504:
      return "The service took too long for this photo. Try again.";
    default:
      return `That did not work: ${detail}.`;
  }
}

// The same call for a terminal and for Python.
export function asCode(photo, options) {
  const query = new URLSearchParams(options).toString();
  const address = new URL(`v1/reconstruct${query ? `?${query}` : ""}`, document.baseURI);
  const keyed = apiKey ? " -H 'X-API-Key: YOUR_KEY'" : "";
  const type = photo.blob.type || "application/octet-stream";
  const root = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const python = Object.entries(options).map(([name, value]) => `, ${name}=${value}`).join("");
  return {
    curl: `curl --data-binary @${photo.name} -H 'Content-Type: ${type}'${keyed} '${address}'`,
    python:
      `from pathlib import Path\nfrom service.client import Client\n\n` +
      `with Client("${root}"${apiKey ? ', api_key="YOUR_KEY"' : ""}) as client:\n` +
      `    found = client.reconstruct(Path("${photo.name}")${python})\n` +
      `    print(found.people[0].translation)`,
  };
}
