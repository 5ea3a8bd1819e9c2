// Command network-policies enforces NetworkPolicies between the pods of nodes that share one network namespace: the first
// packet of each connection from or to a pod is queued, and Kubernetes' own reference implementation lets it through or
// drops it by what the policies say of its two ends. Without this process, new connections are dropped.
//
//	network-policies KUBECONFIG PODS
//
// PODS is the range of the pods' addresses. What a pod sends to a node itself, such as to the API server, is not looked
// at, nor what a node's root sends to a pod: probes must reach it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const (
	chain = "LAB-POLICIES"
	queue = 100
	// The implementation queues, by rules of nftables, packets of one node's pods. Not every kernel has these rules, and
	// here pods of all nodes are meant: it gets the name of no node, and the packets by rules of this program.
	noNode = "none"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: network-policies KUBECONFIG PODS")
		os.Exit(2)
	}

	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(kubeconfig, pods string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}

	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}

	factory := informers.NewSharedInformerFactory(client, 0)

	controller, err := networkpolicy.NewController(
		client, factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Namespaces(), factory.Core().V1().Pods(),
		nil, nil, nil, nil,
		networkpolicy.Config{NodeName: noNode, QueueID: queue},
	)
	if err != nil {
		return err
	}

	if err = queuePackets(ctx, pods); err != nil {
		return err
	}

	factory.Start(ctx.Done())
	return controller.Run(ctx)
}

// queuePackets makes the rules. They are looked at once addresses of Services have become those of pods, and before those
// of senders are changed.
func queuePackets(ctx context.Context, pods string) error {
	number := strconv.Itoa(queue)
	rules := strings.Join([]string{
		"*mangle",
		":" + chain + " - [0:0]",
		"-A " + chain + " -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
		"-A " + chain + " -m owner --uid-owner 0 -j RETURN",
		"-A " + chain + " -s " + pods + " -j NFQUEUE --queue-num " + number,
		"-A " + chain + " -d " + pods + " -j NFQUEUE --queue-num " + number,
		"COMMIT", "",
	}, "\n")
	restore := exec.CommandContext(ctx, "iptables-restore", "--noflush")
	restore.Stdin = strings.NewReader(rules)

	if said, err := restore.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, said)
	}

	if exec.CommandContext(ctx, "iptables", "-t", "mangle", "-C", "POSTROUTING", "-j", chain).Run() == nil {
		return nil
	}

	if said, err := exec.CommandContext(ctx, "iptables", "-t", "mangle", "-A", "POSTROUTING", "-j", chain).CombinedOutput(); err != nil {
		return fmt.Errorf("iptables: %w: %s", err, said)
	}
	return nil
}
