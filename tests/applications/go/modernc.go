//go:build !old

package main

import (
	"crypto/sha256"
	"fmt"

	_ "modernc.org/sqlite"
)

const driverName = "sqlite"

// pages is the hash of all pages.
func (c *connection) pages() (string, error) {
	var bytes []byte
	err := c.Raw(func(driver any) (err error) {
		bytes, err = driver.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	})
	return fmt.Sprintf("%x", sha256.Sum256(bytes)), err
}
