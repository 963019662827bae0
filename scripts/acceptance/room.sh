#!/usr/bin/env bash
# room.sh URL: a room from its creation to its end, with curl, jq and ffmpeg
# alone. It stops at the first answer that is not the right one.
#
# ADMIN_TOKEN   a token with the grants moderate and admin; empty: none is asked for
# FFMPEG        the ffmpeg to publish with (WHIP needs version 8 or later)
# RECORD        a folder: every request and its answer are kept there
# OFFER         an SDP offer to play with, as a browser makes it
set -euo pipefail

url=${1:?usage: room.sh URL}
admin=${ADMIN_TOKEN:-}
ffmpeg=${FFMPEG:-ffmpeg}
here=$(cd "$(dirname "$0")" && pwd)
offer=${OFFER:-$here/../../session/testdata/fixtures/o_recv.sdp}
record=${RECORD:-$(mktemp -d)}
room=acceptance-$RANDOM$RANDOM
calls=0
publisher=

say() { printf '%s\n' "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }
# ffmpeg does not always end on a signal that it can catch.
cleanup() { [ -z "$publisher" ] || kill -9 "$publisher" 2>/dev/null || true; }
trap cleanup EXIT

# call STATUS METHOD URL TOKEN [TYPE BODY] [HEADER...]: asks, keeps, and expects a
# status. The answer is in $body, its headers in $headers.
call() {
  local want=$1 method=$2 to=$3 token=$4 type=${5:-} sent=${6:-}
  shift $(($# < 6 ? $# : 6))
  calls=$((calls + 1))
  local base
  base=$record/$(printf %03d "$calls")
  local args=(-sS --max-time 20 -X "$method" -D "$base.headers" -o "$base.body" -w '%{http_code}')
  local list=()
  [ -z "$token" ] || list+=("Authorization: Bearer $token")
  [ -z "$type" ] || list+=("Content-Type: $type")
  list+=("$@")
  local h
  for h in "${list[@]}"; do args+=(-H "$h"); done
  [ -z "$sent" ] || args+=(--data-binary "$sent")
  : >"$base.body"
  status=$(curl "${args[@]}" "$to")
  jq -n --arg method "$method" --arg url "$to" --arg body "$sent" --arg status "$status" \
    '{$method, $url, $body, status: ($status | tonumber), headers: $ARGS.positional}' \
    --args "${list[@]}" >"$base.json"
  body=$(cat "$base.body")
  headers=$base.headers
  [ "$status" = "$want" ] || fail "$method $to: got $status, want $want: $body"
}

# is FILTER: the answer has it.
is() { jq -e "$@" >/dev/null <<<"$body" || fail "$* does not hold of $body"; }
header() { sed -n "s/^$1: //Ip" "$headers" | tr -d '\r'; }

# until_is TRIES METHOD URL TOKEN FILTER: asks until the answer has it.
until_is() {
  local tries=$1 i
  for ((i = 0; i < tries; i++)); do
    call 200 "$2" "$3" "$4"
    if jq -e "$5" >/dev/null <<<"$body"; then return; fi
    sleep 0.2
  done
  fail "$3 never was: $5; it is $body"
}

json=application/json
api=$url/v1/rooms

say "create a room with a password"
call 201 POST "$api" "$admin" $json "{\"name\":\"$room\",\"password\":\"correct horse\",\"wait\":true}" "Idempotency-Key: $room"
is --arg n "$room" '.name == $n and .protected and (has("password") | not)'
call 201 POST "$api" "$admin" $json "{\"name\":\"$room\",\"password\":\"correct horse\",\"wait\":true}" "Idempotency-Key: $room"
[ "$(header Idempotency-Replayed)" = true ] || fail "the same request was not recognised"
call 409 POST "$api" "$admin" $json "{\"name\":\"$room\"}"
call 200 GET "$api/$room" "$admin"
etag=$(header ETag)
call 304 GET "$api/$room" "$admin" "" "" "If-None-Match: $etag"

say "join as a guest"
call 403 POST "$api/$room/join" "" $json '{"identity":"bob","password":"wrong"}'
is '.type == "/problems/join-refused"'
call 403 POST "$api/$room/join" "" $json '{"identity":"bob"}'
call 201 POST "$api/$room/join" "" $json '{"identity":"bob","name":"Bob","password":"correct horse"}'
token=$(jq -r .token <<<"$body")
whip=$(jq -r .whip <<<"$body")
program=$(jq -r .program <<<"$body")
messages=$(jq -r .messages <<<"$body")
events=$(jq -r .events <<<"$body")

say "publish"
"$ffmpeg" -hide_banner -nostdin -loglevel error -re -f lavfi -i testsrc2=size=320x180:rate=15 -re -f lavfi -i sine=sample_rate=48000 \
  -c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -pix_fmt yuv420p -bf 0 -g 30 -b:v 200k \
  -c:a libopus -ac 2 -b:a 64k -authorization "$token" -f whip "$whip" &
publisher=$!
until_is 100 GET "$api/$room/publications" "$admin" '.items[0].live'
is '.items[0].name == "bob"'
until_is 50 GET "$api/$room/sessions?state=live" "$admin" '.items[0] | .role == "publisher" and .stats.bitrate > 0 and .identity == "bob"'
session=$(jq -r '.items[0].id' <<<"$body")
call 200 GET "$api/$room/sessions/$session" "$admin"

say "play"
call 401 POST "$program" "" application/sdp "$(cat "$offer")"$'\n'
call 201 POST "$program" "$token" application/sdp "$(cat "$offer")"$'\n'
viewer=$(header Location)
grep -q '^a=candidate' <<<"$body" || fail "the answer has no candidate: $body"
call 200 DELETE "$viewer" ""

say "list"
call 200 GET "$api?limit=1" "$admin"
call 200 GET "$api/$room" "$admin"
is '.live and .publications == 1'

say "mute, and choose the program"
call 200 PATCH "$api/$room/publications/bob" "$admin" $json '{"muted":{"audio":true}}'
is '.muted.audio and (.muted.video | not)'
call 200 PATCH "$api/$room/publications/bob" "$admin" $json '{"muted":null,"program":true}'
call 200 GET "$api/$room" "$admin"
is '.program == "bob"'

say "message"
call 201 POST "$messages" "$token" $json '{"kind":"chat","text":"hello"}'
call 200 GET "$messages" "$token"
is '.items[-1].data.text == "hello"'
{ curl -s --max-time 3 -H "Authorization: Bearer $token" "$events" || true; } | grep -m1 -q '^event: snapshot' || fail "the events do not begin with a snapshot"

say "lock"
call 412 PATCH "$api/$room" "$admin" $json '{"locked":true}' "If-Match: $etag"
call 200 PATCH "$api/$room" "$admin" $json '{"locked":true}'
call 403 POST "$api/$room/join" "" $json '{"identity":"eve","password":"correct horse"}'
is '.type == "/problems/room-locked"'

say "kick"
call 204 DELETE "$api/$room/sessions/$session" "$admin"
until_is 50 GET "$api/$room/sessions?state=ended" "$admin" ".items | any(.id == \"$session\" and .cause == \"kicked\")"

say "end"
call 204 DELETE "$api/$room" "$admin"
call 404 GET "$api/$room" "$admin"
say "all $calls answers were right"
