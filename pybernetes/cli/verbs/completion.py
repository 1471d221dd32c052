"""`kubectl completion`: a script for the user's shell that asks this program (`__complete`) what may come next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_BASH = r"""# bash completion for kubectl; usage: source <(kubectl completion bash)
__kubectl_complete() {
    local cur=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} directive out
    local -a words
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    out=$("${words[0]}" __completeNoDesc "${words[@]:1}" 2>/dev/null) || return
    directive=${out##*:}
    out=${out%:*}
    local prefix=${words[-1]} shown
    shown=${prefix%"${cur}"}
    if (( directive & 8 )); then
        COMPREPLY=($(compgen -f -- "$cur"))
        compopt -o filenames
        return
    fi
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$out" -- "$prefix"))
    COMPREPLY=("${COMPREPLY[@]#"$shown"}")
    (( directive & 2 )) && compopt -o nospace
    if (( ! (directive & 4) )) && [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        COMPREPLY=($(compgen -f -- "$cur"))
        compopt -o filenames
    fi
}
complete -F __kubectl_complete kubectl pk
"""
_ZSH = r"""#compdef kubectl pk
# zsh completion for kubectl; usage: source <(kubectl completion zsh)
_kubectl() {
    local out directive line
    local -a lines described
    out=$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null) || return
    lines=("${(@f)out}")
    directive=${lines[-1]#:}
    for line in "${(@)lines[1,-2]}"; do
        described+=("${${line//:/\\:}/$'\t'/:}")
    done
    if (( directive & 8 )) || { (( ${#described} == 0 )) && (( ! (directive & 4) )); }; then
        _files
    elif (( directive & 2 )); then
        _describe -V kubectl described -S ''
    else
        _describe -V kubectl described
    fi
}
compdef _kubectl kubectl pk
"""
_FISH = r"""# fish completion for kubectl; usage: kubectl completion fish | source
function __kubectl_complete
    set -l words (commandline -opc)
    set -l out ($words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null)
    set -l directive (string sub -s 2 -- $out[-1])
    if test (math "bitand($directive, 8)") -ne 0
        __fish_complete_path (commandline -ct)
        return
    end
    printf '%s\n' $out[1..-2]
    if test (count $out) -eq 1; and test (math "bitand($directive, 4)") -eq 0
        __fish_complete_path (commandline -ct)
    end
end
complete -c kubectl -f -a '(__kubectl_complete)'
complete -c pk -f -a '(__kubectl_complete)'
"""
_POWERSHELL = r"""# powershell completion; usage: kubectl completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'kubectl', 'pk' -ScriptBlock {
    param($WordToComplete, $CommandAst, $CursorPosition)
    $Words = @($CommandAst.CommandElements | ForEach-Object { "$_" })
    $Program, $Arguments = $Words[0], @($Words | Select-Object -Skip 1)
    if ($WordToComplete -eq '') { $Arguments += '""' }
    $Out = @(& $Program __complete @Arguments 2>$null)
    $Out | Select-Object -SkipLast 1 | ForEach-Object {
        $Name, $Text = $_ -split "`t", 2
        if (-not $Text) { $Text = $Name }
        [System.Management.Automation.CompletionResult]::new($Name, $Name, 'ParameterValue', $Text)
    }
}
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "powershell": _POWERSHELL}


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if not arguments:
        raise CLIError("Shell not specified.\nSee 'kubectl completion -h' for help and examples")
    if len(arguments) > 1:
        raise CLIError(
            "Too many arguments. Expected only the shell type.\nSee 'kubectl completion -h' for help and examples"
        )
    if arguments[0] not in SCRIPTS:
        raise CLIError(f"Unsupported shell type \"{arguments[0]}\".\nSee 'kubectl completion -h' for help and examples")
    session.out.write(SCRIPTS[arguments[0]])
    return None


COMMAND = Command(
    "Output shell completion code for the specified shell (bash, zsh, fish, or powershell).",
    usage="kubectl completion SHELL",
    run=run,
    examples="source <(kubectl completion bash)\nsource <(kubectl completion zsh)\nkubectl completion fish | source",
)
