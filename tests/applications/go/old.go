//go:build old

package main

import _ "github.com/mattn/go-sqlite3"

const driverName = "sqlite3"

// pages cannot be told: that SQLite has nothing that serializes a database.
func (c *connection) pages() (string, error) {
	return "-", nil
}
