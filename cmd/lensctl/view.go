package main

import "github.com/spf13/cobra"

func viewCommand() *cobra.Command { return &cobra.Command{Use: "view"} }
