// Import this before oidc-provider. That package names Node.js 22 as its oldest release; what it uses of it that
// Node.js 20 lacks is URL.parse, and with that it works there. Its warning about it would stand on stderr at each start.

if (typeof URL.parse !== 'function') {
  URL.parse = (address, base) => {
    try {
      return new URL(address, base);
    } catch {
      return null;
    }
  };
}

const warn = console.warn;
console.warn = (...words) => {
  if (!String(words[0]).includes('Unsupported runtime. Use Node.js v22')) warn(...words);
};
