/** Set by build.mjs: addresses of files with hashes in their names, relative to the page. */
declare const WORKER: string;
declare const ICONS: string;
