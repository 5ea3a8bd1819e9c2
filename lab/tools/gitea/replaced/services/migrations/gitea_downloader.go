// Package migrations cannot copy issues from another Gitea here: the client that it would use is in no registry.
package migrations
