# limits.awk - lengths that keep files readable: C files up to 600 lines, headers up to 200, lines up to 120 columns.

function complain(file, line, what) {
    printf "%s:%d: %s\n", file, line, what > "/dev/stderr"
    bad++
}

function finish() {
    if (last != "" && lines > (last ~ /\.h$/ ? 200 : 600))
        complain(last, lines, "the file has " lines " lines: split it by what it does")
}

FNR == 1 {
    finish()
    last = FILENAME
}

length($0) > 120 {
    complain(FILENAME, FNR, "longer than 120 columns")
}

{
    lines = FNR
}

END {
    finish()
    exit bad > 0
}
