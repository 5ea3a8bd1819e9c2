// Command cert-manager-controller runs cert-manager's own controllers, as they are in its Go module.
//
// The program that cert-manager releases is a module of its own that has never been published, so this one puts the same
// controllers together: those of issuers, certificates, ACME orders and challenges, and of Ingress annotations. It takes
// the released program's flags as far as the chart's arguments need them, and has its defaults. It serves no metrics: it
// is for tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	"github.com/cert-manager/cert-manager/pkg/issuer/acme/dns/util"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

// workers is how many objects each controller handles at once.
const workers = 5

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(logf.NewContext(ctx, logf.Log), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	options, election, err := parse(arguments)
	if err != nil {
		return err
	}
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	return election.leading(ctx, shared, func(ctx context.Context) error { return work(ctx, factory, shared) })
}

// work runs all controllers until the context ends or one of them fails.
func work(ctx context.Context, factory *controller.ContextFactory, shared *controller.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for name, start := range controller.Known() {
		one, err := start(factory)
		if err != nil {
			return fmt.Errorf("controller %s: %w", name, err)
		}
		group.Go(func() error { return one.Run(workers, ctx) })
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	return group.Wait()
}

// parse reads the flags that the chart renders; one that it does not know is an error.
func parse(arguments []string) (controller.ContextOptions, election, error) {
	flags := flag.NewFlagSet("cert-manager-controller", flag.ContinueOnError)
	flags.Int("v", 2, "verbosity; here without effect")
	namespace := flags.String("leader-election-namespace", "kube-system", "where the lease of the leader is")
	health := flags.String("healthz-listen-address", "0.0.0.0:9403", "host:port of /livez")
	resourceNamespace := flags.String("cluster-resource-namespace", "", "where Secrets of ClusterIssuers are")
	solverImage := flags.String("acme-http01-solver-image", "", "image of the pods that solve HTTP-01")
	maxChallenges := flags.Int("max-concurrent-challenges", 60, "challenges under way at once")
	issuerName := flags.String("default-issuer-name", "", "issuer of an Ingress that names none")
	issuerKind := flags.String("default-issuer-kind", "Issuer", "its kind")
	issuerGroup := flags.String("default-issuer-group", "cert-manager.io", "its API group")
	nameservers := flags.String("dns01-recursive-nameservers", "", "host:port, by commas")
	recursiveOnly := flags.Bool("dns01-recursive-nameservers-only", false, "ask no authoritative server")
	retry := flags.Duration("dns01-check-retry-period", 10*time.Second, "pause between two checks of a challenge's record")
	if err := flags.Parse(arguments); err != nil {
		return controller.ContextOptions{}, election{}, err
	}
	resolvers := util.RecursiveNameservers
	if *nameservers != "" {
		resolvers = strings.Split(*nameservers, ",")
	}
	return controller.ContextOptions{
		IssuerOptions: controller.IssuerOptions{
			ClusterResourceNamespace:        *resourceNamespace,
			ClusterIssuerAmbientCredentials: true,
		},
		ACMEOptions: controller.ACMEOptions{
			HTTP01SolverImage:                 *solverImage,
			HTTP01SolverResourceRequestCPU:    resource.MustParse("10m"),
			HTTP01SolverResourceRequestMemory: resource.MustParse("64Mi"),
			HTTP01SolverResourceLimitsCPU:     resource.MustParse("100m"),
			HTTP01SolverResourceLimitsMemory:  resource.MustParse("64Mi"),
			ACMEHTTP01SolverRunAsNonRoot:      true,
			DNS01Nameservers:                  resolvers,
			DNS01CheckAuthoritative:           !*recursiveOnly,
			DNS01CheckRetryPeriod:             *retry,
		},
		IngressShimOptions: controller.IngressShimOptions{
			DefaultIssuerName:                 *issuerName,
			DefaultIssuerKind:                 *issuerKind,
			DefaultIssuerGroup:                *issuerGroup,
			DefaultAutoCertificateAnnotations: []string{"kubernetes.io/tls-acme"},
		},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes:                 []string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/"},
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: *maxChallenges},
	}, election{namespace: *namespace, health: *health}, nil
}
