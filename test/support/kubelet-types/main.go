// The kubelet's side of an image credential provider, by its own types: what it sends, and what it can read.
//
//	kubelet-types request IMAGE [TOKEN [ANNOTATION=VALUE...]]   prints the request that the kubelet would send
//	kubelet-types response                                      reads a response, strictly, and prints what the kubelet has of it
//	kubelet-types config                                        reads a CredentialProviderConfig, strictly, and prints its providers
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	config "k8s.io/kubelet/config/v1"
	provider "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

func main() {
	scheme := runtime.NewScheme()
	utilruntime.Must(provider.AddToScheme(scheme))
	utilruntime.Must(config.AddToScheme(scheme))
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	if err := run(codecs, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(codecs serializer.CodecFactory, action string, words []string) error {
	switch action {
	case "request":
		return writeRequest(codecs, words)
	case "response":
		response := &provider.CredentialProviderResponse{}
		return read(codecs, response, func() any { return response })
	case "config":
		settings := &config.CredentialProviderConfig{}
		return read(codecs, settings, func() any { return settings.Providers })
	}
	return fmt.Errorf("there is no action %s", action)
}

func writeRequest(codecs serializer.CodecFactory, words []string) error {
	request := &provider.CredentialProviderRequest{Image: words[0]}
	if len(words) > 1 {
		request.ServiceAccountToken = words[1]
		request.ServiceAccountAnnotations = map[string]string{}
		for _, word := range words[2:] {
			name, value, _ := strings.Cut(word, "=")
			request.ServiceAccountAnnotations[name] = value
		}
	}
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	return codecs.EncoderForVersion(info.Serializer, provider.SchemeGroupVersion).Encode(request, os.Stdout)
}

func read(codecs serializer.CodecFactory, into runtime.Object, value func() any) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if _, _, err := codecs.UniversalDeserializer().Decode(text, nil, into); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(value())
}
