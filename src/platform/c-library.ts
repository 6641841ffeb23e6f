/** Calls of the C library, for what Bun does not offer: locks on files, datagrams of Unix sockets. */
import { dlopen, type FFIFunction } from 'bun:ffi';

/** glibc, then musl as Alpine names it, then musl elsewhere, then macOS, where developers may work. */
const libraries = [
  'libc.so.6',
  'libc.musl-x86_64.so.1',
  'libc.musl-aarch64.so.1',
  'libc.so',
  'libSystem.B.dylib',
];

/** Throws an Error if there is no C library with these functions. */
export function openCLibrary<const Calls extends Record<string, FFIFunction>>(calls: Calls) {
  for (const name of libraries) {
    try {
      return dlopen(name, calls);
    } catch {
      // The next one.
    }
  }
  throw new Error(`no C library found (${libraries.join(', ')})`);
}
