# layers.awk - holds every include of src/ against the rules of its first file, layers.txt.

function complain(what) {
    printf "%s:%d: %s\n", FILENAME, FNR, what > "/dev/stderr"
    bad++
}

function has(list, word) {
    return index(" " list " ", " " word " ") > 0
}

NR == FNR {
    sub(/#.*/, "")
    if (split($0, rule, /: */) == 2)
        allowed[rule[1]] = rule[2]
    next
}

FNR == 1 {
    split(FILENAME, part, "/")
    layer = part[2]
    files++
    if (!(layer in allowed))
        complain("layers.txt does not know the directory '" layer "'")
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    from = quoted[2]
    if (!sub(/\/.*/, "", from))
        complain("include \"" quoted[2] "\" names no directory of src/")
    else if (!has(allowed[layer], from))
        complain(layer "/ may not include from " from "/: \"" quoted[2] "\"")
}

/^[ \t]*#[ \t]*include[ \t]*</ {
    name = $0
    sub(/^[^<]*/, "", name)
    sub(/>.*/, ">", name)
    for (prefix in allowed)
        if (substr(prefix, 1, 1) == "<" && index(name, prefix) == 1 && !has(allowed[prefix], layer))
            complain(layer "/ may not include " name)
}

END {
    if (bad)
        exit 1
    printf "layers: %d files keep to them\n", files
}
