// The application with a driver of database/sql; see README.md beside this directory.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"strings"
)

const rowsSQL = "SELECT quote(id) || ' ' || quote(a) || ' ' || quote(b) FROM t ORDER BY id"

var background = context.Background()

// connection is one of its own, never one of a pool.
type connection struct {
	pool *sql.DB
	*sql.Conn
}

type application struct {
	path           string
	pragmas        []string
	writer, looker *connection
	readers        []*connection
}

func main() {
	application := &application{path: os.Args[1], pragmas: os.Args[2:]}
	if err := application.reopen(); err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	var version string
	row := application.looker.QueryRowContext(background, "SELECT sqlite_version()")
	if err := row.Scan(&version); err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	fmt.Println("ready", version)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		answer, err := application.answer(verb, rest)
		if err != nil {
			answer = "failed " + err.Error()
		}
		fmt.Println(answer)
	}
}

func (a *application) answer(verb, rest string) (string, error) {
	switch verb {
	case "run":
		return "done", a.writer.run(rest)
	case "commit":
		return a.commit(rest)
	case "look":
		return a.look()
	case "open":
		return "done", a.open()
	case "close":
		return "done", a.close()
	case "reopen":
		return "done", a.reopen()
	case "read":
		return read(rest)
	}
	return "", fmt.Errorf("nothing to do is %s", verb)
}

func (a *application) commit(statements string) (string, error) {
	const count = "; UPDATE progress SET number = number + 1"
	told := ""
	err := a.writer.run("BEGIN IMMEDIATE; " + statements + count)
	if err == nil {
		told, err = a.writer.content()
	}
	if err == nil {
		err = a.writer.run("COMMIT")
	}
	if err != nil {
		// It says that there is no transaction if the commit was the last that failed.
		_ = a.writer.run("ROLLBACK")
	}
	return "committed " + told, err
}

func (a *application) look() (string, error) {
	if err := a.looker.run("BEGIN"); err != nil {
		return "", err
	}
	told, err := a.looker.content()
	pages := "-"
	if err == nil {
		pages, err = a.looker.pages()
	}
	if err := a.looker.run("COMMIT"); err != nil {
		return "", err
	}
	return "state " + told + " " + pages, err
}

func (a *application) open() error {
	reader, err := connect(a.path, a.pragmas)
	if err != nil {
		return err
	}
	a.readers = append(a.readers, reader)
	if err := reader.run("BEGIN"); err != nil {
		return err
	}
	_, err = reader.content()
	return err
}

func (a *application) close() error {
	if len(a.readers) == 0 {
		return nil
	}
	oldest := a.readers[0]
	a.readers = a.readers[1:]
	return oldest.end()
}

func (a *application) reopen() error {
	for _, connection := range append(a.readers, a.writer, a.looker) {
		if connection == nil {
			continue
		}
		if err := connection.end(); err != nil {
			return err
		}
	}
	a.readers = nil
	var err error
	if a.writer, err = connect(a.path, a.pragmas); err != nil {
		return err
	}
	a.looker, err = connect(a.path, a.pragmas)
	return err
}

func read(path string) (string, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	connection, err := connect(path, nil)
	if err != nil {
		return "", err
	}
	var check string
	row := connection.QueryRowContext(background, "PRAGMA integrity_check")
	if err := row.Scan(&check); err != nil {
		return "", err
	}
	if check != "ok" {
		return "", fmt.Errorf("integrity_check: %s", check)
	}
	told, err := connection.content()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("state %s %x", told, sha256.Sum256(bytes)), connection.end()
}

func connect(path string, pragmas []string) (*connection, error) {
	pool, err := sql.Open(driverName, path)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Conn(background)
	if err != nil {
		return nil, err
	}
	c := &connection{pool, conn}
	for _, pragma := range pragmas {
		if err := c.run("PRAGMA " + pragma); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *connection) run(statements string) error {
	_, err := c.ExecContext(background, statements)
	return err
}

// end closes the connection itself: what is left in a transaction is rolled back.
func (c *connection) end() error {
	if err := c.Conn.Close(); err != nil {
		return err
	}
	return c.pool.Close()
}

// content is the number of the last transaction, and the hash of all rows.
func (c *connection) content() (string, error) {
	rows, err := c.QueryContext(background, rowsSQL)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	hash := sha256.New()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return "", err
		}
		fmt.Fprintln(hash, row)
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	var number int64
	err = c.QueryRowContext(background, "SELECT number FROM progress").Scan(&number)
	return fmt.Sprintf("%d %x", number, hash.Sum(nil)), err
}
