// The web servers of the images httpd and nginx: the files of one folder, as they are, with no redirects.
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"path"
)

func main() {
	root := flag.String("root", "/usr/local/apache2/htdocs", "")
	addr := flag.String("addr", ":80", "")
	flag.Parse()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p := path.Clean(r.URL.Path)
		if p == "/" {
			p = "/index.html"
		}
		b, err := os.ReadFile(*root + p)
		if err != nil {
			http.Error(w, "not found", 404)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Write(b)
	})
	log.Printf("resuming normal operations")
	log.Fatal(http.ListenAndServe(*addr, nil))
}
