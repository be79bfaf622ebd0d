// Volume makes and removes the folder of a volume for local-path-provisioner, which calls it in a helper pod as
// `volume -p FOLDER -s BYTES -m MODE -a create|delete`.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	folder := flag.String("p", "", "folder of the volume")
	action := flag.String("a", "", "create or delete")
	flag.String("s", "", "size, which nobody enforces here")
	flag.String("m", "", "volume mode, always a file system")
	flag.Parse()

	var err error
	switch *action {
	case "create":
		if err = os.MkdirAll(*folder, 0o777); err == nil {
			err = os.Chmod(*folder, 0o777) // #nosec: whoever mounts the volume decides with its fsGroup
		}
	case "delete":
		err = os.RemoveAll(*folder)
	default:
		err = fmt.Errorf("no such action: %q", *action)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
