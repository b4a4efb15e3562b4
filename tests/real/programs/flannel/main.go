// flanneld for the ring: flannel's own packages with the backends vxlan and host-gw, for a pod network whose subnets
// Kubernetes hands out. Its own main program is not used, because it links clouds' backends whose modules are not to be had
// everywhere, and one in C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
)

const (
	annotations   = "flannel.alpha.coreos.com"
	networkConfig = "/etc/kube-flannel/net-conf.json"
	subnetFile    = "/run/flannel/subnet.env"
	// Seconds from one look at the rules of iptables to the next.
	resync = 30
)

func main() {
	masquerade := flag.Bool("ip-masq", false, "masquerade what leaves the pod network")
	fromKubernetes := flag.Bool("kube-subnet-mgr", false, "take subnets from Kubernetes (required)")
	device := flag.String("iface", "", "interface between nodes: name or address; default: that of the default route")
	flag.Parse()
	if !*fromKubernetes {
		fmt.Fprintln(os.Stderr, "flanneld of the ring: only --kube-subnet-mgr is supported")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *masquerade, *device); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "flanneld of the ring:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends or the node's lease is taken away.
func run(ctx context.Context, masquerade bool, device string) error {
	subnets, err := kube.NewSubnetManager(ctx, "", "", annotations, networkConfig, true)
	if err != nil {
		return fmt.Errorf("asking Kubernetes for this node's subnet: %w", err)
	}
	config, err := subnets.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", networkConfig, err)
	}
	family, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return err
	}
	// An address in the node's annotations comes first, as with flannel's own program.
	address, _ := subnets.GetStoredPublicIP(ctx)
	outside, err := ipmatch.LookupExtIface(device, "", "", family, ipmatch.PublicIPOpts{PublicIP: address})
	if err != nil {
		return fmt.Errorf("looking for the interface between nodes: %w", err)
	}
	kind, err := backend.NewManager(ctx, subnets, outside).GetBackend(config.BackendType)
	if err != nil {
		return fmt.Errorf("backend %q: %w", config.BackendType, err)
	}
	var running sync.WaitGroup
	network, err := kind.RegisterNetwork(ctx, &running, config)
	if err != nil {
		return fmt.Errorf("setting up %s: %w", config.BackendType, err)
	}
	rules := &iptables.IPTablesManager{}
	if err := rules.Init(ctx); err != nil {
		return fmt.Errorf("preparing iptables: %w", err)
	}
	lease := network.Lease()
	if masquerade {
		// The rules of a previous run are found by their own chain.
		err := rules.SetupAndEnsureMasqRules(ctx, config.Network, ip.IP4Net{}, ip.IP4Net{},
			config.IPv6Network, ip.IP6Net{}, ip.IP6Net{}, lease, resync, false)
		if err != nil {
			return fmt.Errorf("masquerading: %w", err)
		}
	}
	rules.SetupAndEnsureForwardRules(ctx, config.Network, config.IPv6Network, resync)
	if err := subnets.HandleSubnetFile(subnetFile, config, masquerade, lease.Subnet, lease.IPv6Subnet, network.MTU()); err != nil {
		return fmt.Errorf("writing %s: %w", subnetFile, err)
	}
	running.Add(1)
	go func() {
		defer running.Done()
		network.Run(ctx)
	}()
	err = subnets.CompleteLease(ctx, lease, &running)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, wait(&running))
}

// wait gives what runs a moment to end.
func wait(running *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("it did not end within 10 s")
	}
}
