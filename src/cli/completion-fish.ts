// The completion script for fish.
import { type CompletedFlag, flagsOf, type Place, placesByFlags } from "./completion-contexts.ts";

/** Can be sourced, and can be `etcd-gateway.fish` in a folder of completions. */
export function fishCompletion(places: readonly Place[]): string {
  const valued = flagsOf(places).filter(({ value }) => value !== "");
  return `# Completion of etcd-gateway for fish, printed by "etcd-gateway completion fish".

# The words that are neither flags nor values of flags say where we are.
function __etcd_gateway_place
    set -l tokens (commandline -opc)
    set -e tokens[1]
    set -l place
    set -l value_due no
    for token in $tokens
        if test $value_due = yes
            set value_due no
        else if contains -- $token ${valued.map(({ name }) => `--${name}`).join(" ")}
            set value_due yes
        else if not string match -q -- '-*' $token
            set -a place $token
        end
    end
    string join -- ' ' $place
end

function __etcd_gateway_is_at
    set -l place (__etcd_gateway_place)
    contains -- "$place" $argv
end

complete -c etcd-gateway -e
complete -c etcd-gateway -f
${[...places.flatMap(nextLines), ...placesByFlags(places).flatMap(flagLines)].join("\n")}
`;
}

function nextLines(place: Place): string[] {
  return place.next.map(
    ({ word, summary }) => `${completeAt([place])} -a ${word} -d ${quoted(summary)}`,
  );
}

function flagLines(places: readonly Place[]): string[] {
  return places[0]!.flags.map(
    (flag) => `${completeAt(places)} -l ${flag.name}${wants(flag)} -d ${quoted(flag.summary)}`,
  );
}

function completeAt(places: readonly Place[]): string {
  const words = places.map((place) => `"${place.words}"`).join(" ");
  return `complete -c etcd-gateway -n '__etcd_gateway_is_at ${words}'`;
}

/** Which value: -r demands one, -F offers files, -x is -r without files. */
function wants({ value, choices, isFile }: CompletedFlag): string {
  if (isFile) return " -r -F";
  return (value === "" ? "" : " -x") + (choices.length > 0 ? ` -a '${choices.join(" ")}'` : "");
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
