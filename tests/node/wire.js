// How a message is laid out in its frame. Everything else here deals in [name, fields, payload].
import { decode, encode } from "@msgpack/msgpack"

const SIGNATURE = Buffer.from([0x50, 0x4e, 0x53, 1])
// numbers beyond 2**53 pass unharmed; names of the environment are bytes
const OPTIONS = { useBigInt64: true, mapKeyConverter: key => (key instanceof Uint8Array ? Buffer.from(key).toString() : key) }

/** The value of a msgpack form. */
export const unpack = bytes => decode(bytes, OPTIONS)

/** Its msgpack form. */
export const pack = value => Buffer.from(encode(value, OPTIONS))

/** The frame of a message. */
export function toFrame(name, fields, payload = Buffer.alloc(0)) {
  const header = pack([name, ...fields])
  const length = Buffer.alloc(4)
  length.writeUInt32LE(header.length)
  return Buffer.concat([SIGNATURE, length, header, payload])
}

/** A message from its frame, behind a topic of so many bytes. null: not one of ours. */
export function fromFrame(frame, topicBytes) {
  const start = topicBytes + SIGNATURE.length
  if (!frame.subarray(topicBytes, start).equals(SIGNATURE)) return null
  const end = start + 4 + frame.readUInt32LE(start)
  const [name, ...fields] = unpack(frame.subarray(start + 4, end))
  return { name, fields, payload: frame.subarray(end) }
}
