# shellcheck shell=bash
# Whether odometer's API answers what simulated traffic has to come to. Sourced after lib.sh, where
# `$work` is a folder, `$address` odometer's, and `$work/authorization` holds a header of its token.

# api PATH CURL_OPTION...
# shellcheck disable=SC2154 # whoever sources this sets them
api() {
  local path=$1
  shift
  curl --silent --show-error --fail --max-time 30 --header "@$work/authorization" "$@" "http://$address/$path"
}

# list_expected FILE...: what `simulate --expected` wrote, as lines of organization, month, region,
# meter and value, sorted, without zeros; an organization may be in each of the files. And the
# addresses that answer for them.
list_expected() {
  jq -s -r 'group_by([.organization, .month, .region, .meter])[]
    | (map(.value) | add) as $sum | select($sum != 0)
    | "\(.[0].organization) \(.[0].month) \(.[0].region) \(.[0].meter) \($sum)"' \
    "$@" | LC_ALL=C sort >"$work/expected"
  [[ -s $work/expected ]] || die "read the expected figures: odometer simulate wrote none"
  cut -d ' ' -f 4 "$work/expected" | sort -u >"$work/meters"
  cut -d ' ' -f 1,2 "$work/expected" | sort -u |
    jq -R -r --arg address "$address" 'split(" ")
      | "http://\($address)/v1/organizations/\(.[0] | @uri)/usage?month=\(.[1])"' >"$work/addresses"
}

# The same lines as odometer answers them, of the meters that are expected.
list_answers() {
  xargs curl --silent --globoff --max-time 30 --header "@$work/authorization" <"$work/addresses" |
    jq -s -r --rawfile meters "$work/meters" '($meters | split("\n")) as $meters
      | .[] | select(.by_region) | "\(.organization) \(.month)" as $of
      | .by_region | to_entries[] | .key as $region
      | .value | to_entries[] | select(.key | IN($meters[])) | select(.value != 0)
      | "\($of) \($region) \(.key) \(.value)"' | LC_ALL=C sort >"$work/answers"
}

# await_figures SECONDS COMMAND: waits until they are equal; COMMAND ends the wait where it must.
await_figures() {
  local deadline=$((SECONDS + $1))
  log "wait until $(wc -l <"$work/expected") figures equal the expected ones"
  until list_answers && cmp --silent "$work/expected" "$work/answers"; do
    "$2"
    ((SECONDS < deadline)) || figures_differ "$1"
    sleep 0.5
  done
  log "all figures are as expected"
}

figures_differ() {
  log "the figures differ (- expected, + answered: organization, month, region, meter, value):"
  diff --unified=0 "$work/expected" "$work/answers" | tail -n +3 | head -n 60 >&2 || true
  die_with_log "compare figures: not equal within $1 s"
}
