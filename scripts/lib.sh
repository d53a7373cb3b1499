# What the scripts share. Source it after changing to the folder of the repository.

# Whether each script is to show in the shortest time that it still works, and not to give figures that mean something:
# `scripts/figures` sets it.
short() { [ "${IODUEL_SHORT:-}" = 1 ]; }

# The backends behind features of their own, which take minutes to build.
optional_features() { short || echo --features may,tokio-uring,glommio; }

# Takes the value of a field from a JSON object on standard input; nothing where it is not there.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }

# Takes columns of CSV by their names, and writes them again, with commas between: csv NAME [NAME ...]
csv() {
    awk -F, -v names="$(IFS=,; echo "$*")" '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i
                  count = split(names, name, ",")
                  for (i = 1; i <= count; i++) if (!(name[i] in at)) { print "no column " name[i] > "/dev/stderr"; exit 1 } }
        NR > 1 { row = $at[name[1]]; for (i = 2; i <= count; i++) row = row "," $at[name[i]]; print row }'
}

# Builds the program, with the words given, and says where it is. A short run takes it as the tests have built it.
# Of the whole workspace then, for its packages share their features: alone this one would be built anew.
if short; then ioduel=target/debug/ioduel profile=--workspace; else ioduel=target/release/ioduel profile=--release; fi
# On a machine that sees the files of the one where it is built (scripts/emulated) nothing is built.
# shellcheck disable=SC2086 # one word
build() { [ -n "${IODUEL_BUILT:-}" ] || cargo build $profile --quiet "$@"; }

# Where the first words of a script stand that say how it is used.
usage() { sed -n '2,/^set/{ /^set/d; s/^# \{0,1\}//p }' "$0" >&2; exit 2; }
