"""The scripts for shells whose own words click splits otherwise than they do."""

BASH = """\
%(complete_func)s() {
    local type value
    local line="${COMP_LINE:0:COMP_POINT}"
    COMPREPLY=()
    while IFS=$'\\t' read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(COMP_LINE="$line" COMP_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
"""Passes the line itself on: bash takes a name with a colon for three words."""

POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object { $_.Extent.Text })
    if (-not $wordToComplete) { $words += '' }

    $before = $env:%(complete_var)s, $env:COMP_WORDS
    $env:%(complete_var)s = 'powershell_complete'
    $env:COMP_WORDS = ($words | ForEach-Object { ">$_" }) -join "`n"
    try {
        $lines = @(& %(prog_name)s 2>$null)
    } finally {
        $env:%(complete_var)s, $env:COMP_WORDS = $before
    }

    foreach ($line in $lines) {
        $type, $value, $help = $line -split "`t", 3
        if ($type -eq 'plain') {
            $inserted = $value
            if ($value -match '[^\\w:./=+-]') { $inserted = "'" + $value.Replace("'", "''") + "'" }
            if (-not $help) { $help = $value }
            [System.Management.Automation.CompletionResult]::new(
                $inserted, $value, 'ParameterValue', $help)
        } elseif ($type) {
            Get-ChildItem -Directory:($type -eq 'dir') -Path "$wordToComplete*" `
                    -ErrorAction SilentlyContinue | ForEach-Object {
                $path = $_.FullName
                if ($path -match '\\s') { $path = "'" + $path.Replace("'", "''") + "'" }
                [System.Management.Automation.CompletionResult]::new(
                    $path, $_.Name, 'ProviderItem', $_.FullName)
            }
        }
    }
}
"""
"""Passes each word on by itself, so that the backslashes of paths survive.

Every word has a mark before it, since an environment variable cannot end in an empty line.
"""
