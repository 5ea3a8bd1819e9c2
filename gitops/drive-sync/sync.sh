#!/bin/sh
# Mirrors a folder of Google Drive here, and copies what is here to be kept there, encrypted.
#
#   /data/drive     from Drive's folder DRIVE_FOLDER, as it is there; what is deleted there is kept 30 days in /data/trash
#   /data/backup    to Drive's folder DRIVE_BACKUP, with names and contents encrypted (crypt); nothing is deleted there
#
# rclone writes a renewed token into its configuration, so that this is a file that can be written. Google's refresh
# token stays the same: the next run begins with the one of the Secret.
set -eu
umask 077
# Flux fills in whatever has braces behind a dollar sign, so that no variable here has any.
for given in "$DRIVE_CLIENT_ID" "$DRIVE_CLIENT_SECRET" "$DRIVE_TOKEN" "$CRYPT_PASSWORD" "$CRYPT_SALT"; do
    [ -n "$given" ] || { echo "a value of the Secrets is empty: give it (make give)" >&2; exit 1; }
done

hidden() {
    # By standard input, as others can read a command's arguments.
    printf %s "$1" | rclone obscure -
}

cat > "$RCLONE_CONFIG" <<END
[drive]
type = drive
scope = drive
client_id = $DRIVE_CLIENT_ID
client_secret = $DRIVE_CLIENT_SECRET
token = $DRIVE_TOKEN

[backup]
type = crypt
remote = $DRIVE_REMOTE$DRIVE_BACKUP
password = $(hidden "$CRYPT_PASSWORD")
password2 = $(hidden "$CRYPT_SALT")
END
unset DRIVE_CLIENT_SECRET DRIVE_TOKEN CRYPT_PASSWORD CRYPT_SALT

mkdir -p "$DATA/drive" "$DATA/backup" "$DATA/trash"
# A folder that is empty all of a sudden is a fault at the other end more often than somebody's wish.
rclone sync "$DRIVE_REMOTE$DRIVE_FOLDER" "$DATA/drive" \
    --backup-dir "$DATA/trash/$(date -u +%Y-%m-%d)" --max-delete "$MOST_DELETED"
rclone copy "$DATA/backup" backup: --immutable
rclone cryptcheck "$DATA/backup" backup: --one-way
find "$DATA/trash" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
