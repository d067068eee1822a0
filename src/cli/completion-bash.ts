// The completion script for bash.
import { type CompletedFlag, flagsOf, type Place, placesByFlags } from "./completion-contexts.ts";

/** Works with and without the bash-completion package. */
export function bashCompletion(places: readonly Place[]): string {
  const flags = flagsOf(places);
  return `# Completion of etcd-gateway for bash, printed by "etcd-gateway completion bash".

_etcd_gateway() {
  local IFS=$' \\t\\n' cur flag= place= next= flags= breaks typed i
  local -a line=()

  # Readline splits at = and :, which are parts of our words.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    if ((i > 1)) && [[ \${COMP_WORDS[i]} == [=:]* || \${COMP_WORDS[i - 1]} == *[=:] ]]; then
      line[\${#line[@]} - 1]+=\${COMP_WORDS[i]}
    else
      line+=("\${COMP_WORDS[i]}")
    fi
  done
  cur=\${line[\${#line[@]} - 1]}

  # The words that are neither flags nor values of flags say where we are.
  for ((i = 0; i < \${#line[@]} - 1; i++)); do
    if [[ $flag ]]; then
      flag=
      continue
    fi
    case \${line[i]} in
      ${flags.filter(takesValue).map(dashed).join(" | ")}) flag=\${line[i]} ;;
      -*) ;;
      *) place+=\${place:+ }\${line[i]} ;;
    esac
  done

  COMPREPLY=()
  if [[ $flag ]]; then
    _etcd_gateway_values "$flag" "" "$cur"
  elif [[ $cur == --*=* ]]; then
    _etcd_gateway_values "\${cur%%=*}" "\${cur%%=*}=" "\${cur#*=}"
  else
    case $place in
${placesByFlags(places).map(flagsCase).join("\n")}
    esac
    case $place in
${places
  .filter(({ next }) => next.length > 0)
  .map(nextCase)
  .join("\n")}
    esac
    # Where no word can come, the flags are shown without a dash before.
    [[ $cur == -* || ! $next ]] && next=$flags
    COMPREPLY=($(compgen -W "$next" -- "$cur"))
    [[ \${#COMPREPLY[@]} == 1 && $COMPREPLY == *= ]] && compopt -o nospace 2>/dev/null
  fi

  # Readline replaces only what follows the last = or : that it splits at.
  breaks=\${COMP_WORDBREAKS//[^=:]/}
  if [[ $breaks ]]; then
    typed=\${cur%"\${cur##*[$breaks]}"}
    COMPREPLY=("\${COMPREPLY[@]#"$typed"}")
  fi
}

# _etcd_gateway_values FLAG HEAD TYPED: the flag's possible values, each after HEAD.
_etcd_gateway_values() {
  local choices=
  case $1 in
${flags.filter(isChoice).map(choicesCase).join("\n")}
    ${flags
      .filter(({ isFile }) => isFile)
      .map(dashed)
      .join(" | ")})
      compopt -o filenames -o default 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -P "$2" -- "$3")
      return
      ;;
  esac
  COMPREPLY=($(compgen -P "$2" -W "$choices" -- "$3"))
}

complete -F _etcd_gateway etcd-gateway
`;
}

const dashed = ({ name }: CompletedFlag) => `--${name}`;
const takesValue = ({ value }: CompletedFlag) => value !== "";
const isChoice = ({ choices }: CompletedFlag) => choices.length > 0;

function flagsCase(places: readonly Place[]): string {
  const words = places[0]!.flags.map((flag) => dashed(flag) + (takesValue(flag) ? "=" : ""));
  return `      ${places.map(quoted).join(" | ")}) flags="${words.join(" ")}" ;;`;
}

function nextCase(place: Place): string {
  return `      ${quoted(place)}) next="${place.next.map(({ word }) => word).join(" ")}" ;;`;
}

function choicesCase(flag: CompletedFlag): string {
  return `    ${dashed(flag)}) choices="${flag.choices.join(" ")}" ;;`;
}

const quoted = ({ words }: Place) => `"${words}"`;
