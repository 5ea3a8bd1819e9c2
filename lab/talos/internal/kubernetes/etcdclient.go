package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
)

const probeTimeout = 2 * time.Second

// etcdClient talks to the members through etcd's JSON gateway, with the certificate that kube-apiserver uses.
type etcdClient struct{ http *http.Client }

func (e *etcdClient) post(ctx context.Context, address, path string, request, reply any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+":2379"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}

	response, err := e.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()

	body, err = io.ReadAll(response.Body)
	if err != nil {
		return err
	}

	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd %s: %s", path, bytes.TrimSpace(body))
	}

	if reply == nil {
		return nil
	}
	return json.Unmarshal(body, reply)
}

func (e *etcdClient) healthy(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()

	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+":2379/health", nil)
	if err != nil {
		return false
	}

	response, err := e.http.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	// Read to the end, else the connection is not used again, and each look costs both sides a handshake.
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

type etcdMemberList struct {
	Members []struct {
		ID, Name             string
		PeerURLs, ClientURLs []string
		IsLearner            bool
	}
}

func (c *ControlPlane) clientFor(address string) (*etcdClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[address]; m == nil || m.process == nil {
		return nil, ErrNotMember
	}
	return c.etcdClient, nil
}

// Members is the member list as the machine's own member tells it. Like Talos's client it asks for one that a quorum
// agrees to, so a member without a leader has none to tell (EtcdMemberList in v1alpha1_server.go of Talos 1.13;
// MemberList in etcd's client/v3/cluster.go). Talos asks any control plane that the node reaches.
func (c *ControlPlane) Members(ctx context.Context, address string) ([]*machineapi.EtcdMember, error) {
	client, err := c.clientFor(address)
	if err != nil {
		return nil, err
	}

	var list etcdMemberList
	if err = client.post(ctx, address, "/v3/cluster/member/list", map[string]any{"linearizable": true}, &list); err != nil {
		return nil, err
	}

	members := make([]*machineapi.EtcdMember, 0, len(list.Members))
	for _, m := range list.Members {
		members = append(members, &machineapi.EtcdMember{
			Id: number(m.ID), Hostname: m.Name, PeerUrls: m.PeerURLs, ClientUrls: m.ClientURLs, IsLearner: m.IsLearner,
		})
	}
	return members, nil
}

// RemoveMember removes a member by its etcd id, asking the machine's own member.
func (c *ControlPlane) RemoveMember(ctx context.Context, address string, id uint64) error {
	client, err := c.clientFor(address)
	if err != nil {
		return err
	}
	return client.post(ctx, address, "/v3/cluster/member/remove", map[string]any{"ID": strconv.FormatUint(id, 10)}, nil)
}

// MemberState is the status of the machine's own member.
func (c *ControlPlane) MemberState(ctx context.Context, address string) (*machineapi.EtcdMemberStatus, error) {
	client, err := c.clientFor(address)
	if err != nil {
		return nil, err
	}

	var s struct {
		Header                                                    struct{ Member_id string } //nolint:revive // etcd's own name
		Version, DbSize, DbSizeInUse, Leader, RaftIndex, RaftTerm string
		RaftAppliedIndex, StorageVersion                          string
		IsLearner                                                 bool
	}

	if err = client.post(ctx, address, "/v3/maintenance/status", map[string]any{}, &s); err != nil {
		return nil, err
	}
	return &machineapi.EtcdMemberStatus{
		MemberId: number(s.Header.Member_id), ProtocolVersion: s.Version, StorageVersion: s.StorageVersion,
		DbSize: int64(number(s.DbSize)), DbSizeInUse: int64(number(s.DbSizeInUse)), Leader: number(s.Leader),
		RaftIndex: number(s.RaftIndex), RaftTerm: number(s.RaftTerm), RaftAppliedIndex: number(s.RaftAppliedIndex), IsLearner: s.IsLearner,
	}, nil
}

// number reads a decimal of etcd's JSON, where 64-bit numbers are strings and zero is left out.
func number(text string) uint64 {
	value, _ := strconv.ParseUint(text, 10, 64)
	return value
}
