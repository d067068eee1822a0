// Paragraphs about flags and exit statuses that the help of several commands shares.

export const FLAG_RULES = `Every flag has an environment variable, and a key in the --config-file. The flag
wins over the variable, the variable over the file.
A DURATION is a number with a unit (ns, us, ms, s, m, h), as in "1m30s".`;

/** Exit status 2. */
export const WRONG_INPUT = "a flag, a variable or the config file is wrong";
