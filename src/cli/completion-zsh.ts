// The completion script for zsh.
import { type CompletedFlag, flagsOf, type Place, placesByFlags } from "./completion-contexts.ts";

/** Returns a script that can be sourced after compinit, or be `_etcd-gateway` in a folder of fpath. */
export function zshCompletion(places: readonly Place[]): string {
  const valued = flagsOf(places).filter(({ value }) => value !== "");
  return `#compdef etcd-gateway
# Completion of etcd-gateway for zsh, printed by "etcd-gateway completion zsh".

_etcd-gateway() {
  local place= word value_due=
  local -a specs subcommands

  # The words that are neither flags nor values of flags are the place.
  # _arguments gets each as a spec: it gives up at a word that it does not expect.
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $value_due ]]; then
      value_due=
      continue
    fi
    case $word in
      (${valued.map(({ name }) => `--${name}`).join("|")}) value_due=1 ;;
      (-*) ;;
      (*)
        place+=\${place:+ }$word
        specs+=("$(( $#specs + 1 )): : ")
        ;;
    esac
  done

  case $place in
${placesByFlags(places).map(flagsCase).join("\n")}
  esac
  case $place in
${places
  .filter(({ next }) => next.length > 0)
  .map(nextCase)
  .join("\n")}
  esac
  # Without a word that can come, _arguments shows the flags.
  (( $#subcommands )) && specs+=('*:command:{_describe command subcommands}')
  _arguments : $specs
}

if [[ $funcstack[1] == _etcd-gateway ]]; then
  _etcd-gateway "$@" # a file of fpath, run for the first time
else
  compdef _etcd-gateway etcd-gateway
fi
`;
}

function flagsCase(places: readonly Place[]): string {
  const specs = places[0]!.flags.map((flag) => `        ${quoted(flagSpec(flag))}`);
  return `    (${places.map(({ words }) => quoted(words)).join("|")})
      specs+=(
${specs.join("\n")}
      )
      ;;`;
}

function nextCase({ words, next }: Place): string {
  const lines = next.map(({ word, summary }) => `        ${quoted(`${word}:${summary}`)}`);
  return `    (${quoted(words)})
      subcommands=(
${lines.join("\n")}
      )
      ;;`;
}

/** As _arguments wants it: `--policy=[what it does]:POLICY:(one another)`. */
function flagSpec(flag: CompletedFlag): string {
  const { name, summary, value, choices, isRepeatable } = flag;
  const head = `${isRepeatable ? "*" : ""}--${name}`;
  const text = `[${summary.replace(/[\\[\]]/g, "\\$&")}]`;
  if (value !== "") return `${head}=${text}:${value.replaceAll(":", "\\:")}:${action(flag)}`;
  // A switch may have a value, which must follow =.
  return choices.length === 0 ? `${head}${text}` : `${head}=-${text}::value:${action(flag)}`;
}

function action({ isFile, choices }: CompletedFlag): string {
  if (isFile) return "_files";
  return choices.length > 0 ? `(${choices.join(" ")})` : " ";
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
