// CoreDNS with the plugins that the lab needs and no others: an eighth of the code, and what is not in it cannot be
// misconfigured. The order of the directives is that of upstream's plugin.cfg.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	dnsserver.Directives = []string{
		"health", "ready", "errors", "cache", "rewrite", "template", "hosts", "kubernetes", "startup", "shutdown",
	}
	coremain.Run()
}
