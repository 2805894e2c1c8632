// A photo from the camera of this machine.

export async function openCamera(video) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
  video.srcObject = stream;
  await video.play();
  return () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

export function takePhoto(video) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve({ blob, name: "camera.jpg" }), "image/jpeg", 0.92));
}

// In the words of a person whose browser said no.
export function cameraProblem(error) {
  if (!navigator.mediaDevices) return "This browser gives the camera only to pages over https or on this machine.";
  if (error.name === "NotAllowedError") return "The camera was not allowed. Your browser's address bar lets you change that.";
  if (error.name === "NotFoundError") return "There is no camera on this machine.";
  return `The camera cannot be used: ${error.message}`;
}
