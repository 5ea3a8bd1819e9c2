#!/usr/bin/env bash
# What a Git server of the cluster's own has to do for Flux and for the seed, done again and again: it changes nothing
# that is already so. No variable has braces here, because Flux would fill them in.
#
#   $HAND_OVER   files from the program (components/gitops/git_link.py): where the repository is, whom a push is told
#                to, and from where to where its newest commits go
#   $ACCOUNT     files with the name and password of the account that may do this
#   $HOME        a directory of this run's own
set -euo pipefail
umask 077

said() { cat "$HAND_OVER/$1"; }

own=$(said own) address=$(said address) owner=$(said owner) name=$(said name) branch=$(said branch)
host=$(sed -E 's|^[a-z]+://([^/:]+).*|\1|' <<<"$own")
# Read by curl and by Git, so that the password is in no command line.
printf 'machine %s login %s password %s\n' "$host" "$(cat "$ACCOUNT/username")" "$(cat "$ACCOUNT/password")" >"$HOME/.netrc"

ask() { curl --netrc --silent --show-error --fail-with-body --max-time 30 --header 'Content-Type: application/json' "$@"; }
there() { ask --output /dev/null "$address/api/v1/$1" 2>/dev/null; }
send() { ask --output /dev/null --request POST --data @- "$address/api/v1/$1"; }

there version || { echo "$address does not answer yet" >&2; exit 1; }

# The repository, which everybody may read who reaches the server: Flux has no key for it.
there "orgs/$owner" || printf '{"username": "%s", "visibility": "public"}' "$owner" | send orgs
there "repos/$owner/$name" ||
  printf '{"name": "%s", "default_branch": "%s", "private": false}' "$name" "$branch" | send "orgs/$owner/repos"

# The webhook of all repositories. Its address follows from the token, so one with another address is of another token.
webhook=$(said webhook-url)
hooks=$(ask "$address/api/v1/admin/hooks?type=system&limit=50" | sed 's/{"id":/\n&/g')
grep -qF "\"url\":\"$webhook\"" <<<"$hooks" ||
  printf '{"type": "gitea", "active": true, "events": ["push"], "config": {"url": "%s", "secret": "%s", "content_type": "json", "is_system_webhook": "true"}}' \
    "$webhook" "$(said webhook-token)" | send admin/hooks
receiver=$(sed -E 's|/hook/.*|/hook/|' <<<"$webhook")
outdated=$(grep -F "\"url\":\"$receiver" <<<"$hooks" | grep -vF "\"url\":\"$webhook\"" || true)
for id in $(sed -nE 's/^\{"id":([0-9]+).*/\1/p' <<<"$outdated"); do
  ask --output /dev/null --request DELETE "$address/api/v1/admin/hooks/$id"
done

# Newest commits. Only forward: what one side has alone is never overwritten, and the error says so until a person has
# decided. A repository without the branch is filled from the other one, whichever that is.
[ -e "$HAND_OVER/from" ] || exit 0
from=$(said from) to=$(said to)
# OpenSSH reads no key without a line break at its end, which `pulumi config set` takes away.
if [ -e "$HAND_OVER/identity" ]; then printf '%s\n' "$(said identity)" >"$HOME/identity"; fi
export GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1
export GIT_SSH_COMMAND="ssh -F none -i '$HOME/identity' -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=yes -o UserKnownHostsFile='$HAND_OVER/known_hosts'"
head() { git ls-remote "$1" "refs/heads/$branch" | cut -f 1; }
newest=$(head "$from") other=$(head "$to")
if [ -z "$newest" ]; then
  [ -n "$other" ] || exit 0
  newest=$other between=$from from=$to to=$between
elif [ "$newest" = "$other" ]; then
  exit 0
fi
git init --quiet --bare "$HOME/commits"
git -C "$HOME/commits" fetch --quiet "$from" "+refs/heads/$branch:refs/heads/$branch"
git -C "$HOME/commits" push --quiet "$to" "refs/heads/$branch:refs/heads/$branch"
echo "$branch of $to is at $(git -C "$HOME/commits" rev-parse "refs/heads/$branch")"
